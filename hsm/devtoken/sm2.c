#include "sm2.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

static const char ORDER[] = "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123";

/* a || b || xG || yG of the curve, as Z hashes them (GB/T 32918.5-2017). */
static const unsigned char CURVE[128] = {
    0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFC,
    0x28, 0xE9, 0xFA, 0x9E, 0x9D, 0x9F, 0x5E, 0x34, 0x4D, 0x5A, 0x9E, 0x4B, 0xCF, 0x65, 0x09, 0xA7,
    0xF3, 0x97, 0x89, 0xF5, 0x15, 0xAB, 0x8F, 0x92, 0xDD, 0xBC, 0xBD, 0x41, 0x4D, 0x94, 0x0E, 0x93,
    0x32, 0xC4, 0xAE, 0x2C, 0x1F, 0x19, 0x81, 0x19, 0x5F, 0x99, 0x04, 0x46, 0x6A, 0x39, 0xC9, 0x94,
    0x8F, 0xE3, 0x0B, 0xBF, 0xF2, 0x66, 0x0B, 0xE1, 0x71, 0x5A, 0x45, 0x89, 0x33, 0x4C, 0x74, 0xC7,
    0xBC, 0x37, 0x36, 0xA2, 0xF4, 0xF6, 0x77, 0x9C, 0x59, 0xBD, 0xCE, 0xE3, 0x6B, 0x69, 0x21, 0x53,
    0xD0, 0xA9, 0x87, 0x7C, 0xC6, 0x2A, 0x47, 0x40, 0x02, 0xDF, 0x32, 0xE5, 0x21, 0x39, 0xF0, 0xA0,
};

/* d = (seed mod (n - 2)) + 1, in [1, n - 2]: 512 bits make the bias smaller than 2^-255. */
int sm2_scalar_from_seed(const unsigned char seed[SM2_SEED], unsigned char d[SM2_SCALAR])
{
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *v = BN_secure_new(), *n = NULL;
    int ok = ctx && v && BN_hex2bn(&n, ORDER) && BN_sub_word(n, 2) && BN_bin2bn(seed, SM2_SEED, v);

    if (ok)
        BN_set_flags(v, BN_FLG_CONSTTIME);
    ok = ok && BN_mod(v, v, n, ctx) && BN_add_word(v, 1) && BN_bn2binpad(v, d, SM2_SCALAR) == SM2_SCALAR;
    BN_clear_free(v);
    BN_free(n);
    BN_CTX_free(ctx);
    return ok;
}

int sm2_public_point(const unsigned char d[SM2_SCALAR], unsigned char point[SM2_POINT])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_sm2);
    EC_POINT *p = group ? EC_POINT_new(group) : NULL;
    BIGNUM *k = BN_secure_new();
    int ok = p && k && BN_bin2bn(d, SM2_SCALAR, k);

    if (ok)
        BN_set_flags(k, BN_FLG_CONSTTIME);
    ok = ok && EC_POINT_mul(group, p, k, NULL, NULL, NULL)
        && EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, point, SM2_POINT, NULL) == SM2_POINT;
    BN_clear_free(k);
    EC_POINT_free(p);
    EC_GROUP_free(group);
    return ok;
}

EVP_MD_CTX *sm3_start(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx && !EVP_DigestInit_ex(ctx, EVP_sm3(), NULL)) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* Z = SM3(ENTL || ID || a || b || xG || yG || xA || yA), GB/T 32918.2-2016 5.5. */
int sm2_z(const unsigned char point[SM2_POINT], const unsigned char *id, size_t id_len, unsigned char z[32])
{
    const unsigned char entl[2] = { (unsigned char)((id_len * 8) >> 8), (unsigned char)(id_len * 8) };
    EVP_MD_CTX *ctx = id_len <= 8191 ? sm3_start() : NULL;
    int ok = ctx && EVP_DigestUpdate(ctx, entl, 2) && EVP_DigestUpdate(ctx, id, id_len)
        && EVP_DigestUpdate(ctx, CURVE, sizeof CURVE) && EVP_DigestUpdate(ctx, point + 1, SM2_POINT - 1)
        && EVP_DigestFinal_ex(ctx, z, NULL);

    EVP_MD_CTX_free(ctx);
    return ok;
}

static EVP_PKEY *make_key(const BIGNUM *d, const unsigned char *point)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "SM2", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;
    int ok = bld && ctx && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "SM2", 0);

    if (ok && d)
        ok = OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d);
    if (ok && point)
        ok = OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, SM2_POINT);
    if (ok && (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1
        && EVP_PKEY_fromdata(ctx, &key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    OSSL_PARAM_free(params); /* clears the private value: BN_secure_new put it into a secure block, freed with cleansing */
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static int der_to_raw(const unsigned char *der, size_t n, unsigned char raw[SM2_RAW])
{
    const unsigned char *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    int ok = sig && p == der + n && !BN_is_negative(ECDSA_SIG_get0_r(sig)) && !BN_is_negative(ECDSA_SIG_get0_s(sig))
        && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 && BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32;

    ECDSA_SIG_free(sig);
    return ok;
}

static int raw_to_der(const unsigned char raw[SM2_RAW], unsigned char der[SM2_DER_MAX], size_t *n)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
    unsigned char *p = der;
    int len;

    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) {
        ECDSA_SIG_free(sig);
        BN_free(r);
        BN_free(s);
        return 0;
    }
    len = i2d_ECDSA_SIG(sig, NULL);
    if (len > 0 && len <= SM2_DER_MAX)
        len = i2d_ECDSA_SIG(sig, &p);
    *n = len > 0 ? (size_t)len : 0;
    ECDSA_SIG_free(sig);
    return len > 0 && len <= SM2_DER_MAX;
}

int sm2_sign_e(const unsigned char d[SM2_SCALAR], const unsigned char e[32], int der, unsigned char *out, size_t *out_len)
{
    BIGNUM *k = BN_secure_new();
    EVP_PKEY *key = k && BN_bin2bn(d, SM2_SCALAR, k) ? make_key(k, NULL) : NULL;
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    unsigned char sig[SM2_DER_MAX + 8];
    size_t n = sizeof sig;
    int ok = ctx && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_sign(ctx, sig, &n, e, 32) == 1;

    if (ok && der) {
        memcpy(out, sig, n);
        *out_len = n;
    } else if (ok) {
        ok = der_to_raw(sig, n, out);
        *out_len = SM2_RAW;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    BN_clear_free(k);
    return ok;
}

int sm2_verify_e(const unsigned char point[SM2_POINT], const unsigned char e[32], int der, const unsigned char *sig, size_t n)
{
    unsigned char raw[SM2_RAW], canonical[SM2_DER_MAX];
    size_t len = 0;
    EVP_PKEY *key;
    EVP_PKEY_CTX *ctx;
    int ok;

    if (der ? !der_to_raw(sig, n, raw) : n != SM2_RAW)
        return 0;
    if (!raw_to_der(der ? raw : sig, canonical, &len) || (der && (len != n || memcmp(canonical, sig, n) != 0)))
        return 0;
    key = make_key(NULL, point);
    ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    ok = ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_verify(ctx, canonical, len, e, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}
