/* SM2 and SM3 for the development token, on the system's OpenSSL 3 (GB/T 32918.2-2016, GB/T 32905-2016). */
#ifndef XINYIN_SM2_H
#define XINYIN_SM2_H

#include <openssl/evp.h>
#include <stddef.h>

#define SM2_POINT 65     /* 04 || X || Y */
#define SM2_SCALAR 32
#define SM2_RAW 64       /* r || s */
#define SM2_DER_MAX 72   /* SEQUENCE of two INTEGERs of up to 33 bytes */
#define SM2_SEED 64

/* All return 1 on success. No function keeps a copy of a private value. */
int sm2_scalar_from_seed(const unsigned char seed[SM2_SEED], unsigned char d[SM2_SCALAR]);
int sm2_public_point(const unsigned char d[SM2_SCALAR], unsigned char point[SM2_POINT]);
int sm2_z(const unsigned char point[SM2_POINT], const unsigned char *id, size_t id_len, unsigned char z[32]);
int sm2_sign_e(const unsigned char d[SM2_SCALAR], const unsigned char e[32], int der, unsigned char *out, size_t *out_len);
int sm2_verify_e(const unsigned char point[SM2_POINT], const unsigned char e[32], int der, const unsigned char *sig, size_t n);
EVP_MD_CTX *sm3_start(void);

#endif
