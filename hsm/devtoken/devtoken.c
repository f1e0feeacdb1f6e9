/* Xinyin development token: SoftHSM2 with SM2 key pairs and signatures. FOR DEVELOPMENT AND CI; it is not an HSM and says so in
 * every name that it gives itself.
 *
 * What an SM2 private key is. SoftHSM2 has no SM2, and a module on top of it could only sign with a value that it can read. So the
 * token holds no such value: it holds a 64-byte generic secret, generated inside SoftHSM2, sensitive and not extractable, that this
 * module may use for one thing only: an HMAC-SHA-512 over a fixed text, from which the private value is derived for one signature and
 * wiped. To applications that secret appears as the private half of an SM2 key pair and as nothing else; it is marked by a prefix of
 * its CKA_ID that applications can neither see nor set.
 *
 * Why the session lock is held around every forwarded sign or verify call: while an SM2 signature is under way, SoftHSM2's session
 * holds the HMAC operation (which gives the application SoftHSM2's own answers about log-in, activity and permission). No call of the
 * application's may ever reach that operation, not even from a second thread on the same session.
 */
#include "pkcs11.h"
#include "sm2.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef XINYIN_FAULTY
#include <unistd.h>
#define LIBRARY_DESCRIPTION "Xinyin FAULTY test token"
#else
#define LIBRARY_DESCRIPTION "Xinyin dev token, NOT an HSM"
#endif
#define MANUFACTURER "Xinyin DEVELOPMENT ONLY"
#define MODEL "DEV-NOT-AN-HSM"
#define SLOT_DESCRIPTION "Xinyin DEVELOPMENT token on SoftHSM2, not an HSM"
#define DEFAULT_SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

#define EXPORT __attribute__((visibility("default")))
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static const char DERIVATION[] = "Xinyin development token: SM2 private value, derivation 1";
static const CK_BYTE MARK[16] = { 0x00, 'x', 'i', 'n', 'y', 'i', 'n', '-', 's', 'm', '2', '-', 'k', 'e', 'y', 0x00 };
static const CK_BYTE SM2_OID[10] = { 0x06, 0x08, 0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D };
static const CK_BYTE DEFAULT_USER_ID[] = "1234567812345678";

/* ---- vendor constants ------------------------------------------------------------------------------------------------------- */

struct sm2_mechanism { CK_MECHANISM_TYPE type; bool hash, z, der; };
struct vendor { const char *name; CK_ULONG key_type; CK_MECHANISM_TYPE generate; struct sm2_mechanism sign[6]; };

/* The numbers are the vendors' (public mappings). For all but Sansec the encoding and Z are this module's choice: raw, with Z. */
static const struct vendor VENDORS[] = {
    { "sansec", 0x80000004UL, 0x80008001UL, {
        { 0x80008104UL, false, false, true }, { 0x80008105UL, false, false, false },
        { 0x80008100UL, true, false, false }, { 0x80008101UL, true, false, true },
        { 0x80008102UL, true, true, false }, { 0x80008103UL, true, true, true } } },
    { "tass", 0x80000004UL, 0x80008001UL, { { 0x80008000UL, false, false, false }, { 0x80008100UL, true, true, false } } },
    { "luna", 0x80000016UL, 0x80000B20UL, { { 0x80000B21UL, false, false, false }, { 0x80000B22UL, true, true, false } } },
    { "ibm", 0x80050002UL, 0x8005000AUL, { { 0x8005000BUL, false, false, false }, { 0x8005000CUL, true, true, false } } },
};

/* ---- state ------------------------------------------------------------------------------------------------------------------ */

enum operation { IDLE, SIGNING, VERIFYING };

struct session {
    CK_SESSION_HANDLE handle;
    struct session *next;
    unsigned refs;
    bool closed;
    pthread_mutex_t lock;           /* protects what follows */
    enum operation operation;       /* an SM2 operation of this module; SoftHSM2's own are IDLE here */
    const struct sm2_mechanism *mechanism;
    CK_OBJECT_HANDLE key;
    CK_BYTE point[SM2_POINT];       /* the public point when verifying */
    EVP_MD_CTX *sm3;
    bool parts;                     /* SignUpdate or VerifyUpdate was called */
    bool finding;
    CK_OBJECT_HANDLE *found;
    CK_ULONG found_count, found_next;
};

enum kind { UNKNOWN, OTHER, SM2_PRIVATE, SM2_PUBLIC };
struct known { CK_OBJECT_HANDLE handle; enum kind kind; bool has_point; CK_BYTE point[SM2_POINT]; };

static CK_FUNCTION_LIST *soft;      /* SoftHSM2's own functions */
static const struct vendor *vendor = &VENDORS[0];
static bool ready, forked;
static pthread_mutex_t global = PTHREAD_MUTEX_INITIALIZER;
static struct session *sessions[256];
static struct known known[4096];    /* kinds (and public points) by handle: SoftHSM2 never uses a handle twice */

#define REQUIRE_READY() do { if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) return CKR_CRYPTOKI_NOT_INITIALIZED; } while (0)

static void end_find(struct session *s)
{
    free(s->found);
    s->found = NULL;
    s->found_count = s->found_next = 0;
    s->finding = false;
}

static void clear_operation(struct session *s)
{
    EVP_MD_CTX_free(s->sm3);
    s->sm3 = NULL;
    s->operation = IDLE;
    s->mechanism = NULL;
    s->key = 0;
    s->parts = false;
}

static void drop_refs(struct session *s, unsigned n) /* global held */
{
    s->refs -= n;
    if (s->refs > 0)
        return;
    clear_operation(s);
    end_find(s);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* The session's entry, locked. NULL only when memory is short. */
static struct session *acquire(CK_SESSION_HANDLE handle)
{
    struct session *s;

    pthread_mutex_lock(&global);
    for (s = sessions[handle % LENGTH(sessions)]; s && s->handle != handle; s = s->next)
        ;
    if (!s && (s = calloc(1, sizeof *s)) != NULL) {
        s->handle = handle;
        s->refs = 1;
        pthread_mutex_init(&s->lock, NULL);
        s->next = sessions[handle % LENGTH(sessions)];
        sessions[handle % LENGTH(sessions)] = s;
    }
    if (s)
        s->refs++;
    pthread_mutex_unlock(&global);
    if (s)
        pthread_mutex_lock(&s->lock);
    return s;
}

/* Takes the entry out of the table; true if it was there (then the table's reference is to be dropped). */
static bool unlink_session(struct session *s) /* global held */
{
    struct session **p = &sessions[s->handle % LENGTH(sessions)];

    while (*p && *p != s)
        p = &(*p)->next;
    if (!*p)
        return false;
    *p = s->next;
    return true;
}

/* Let go of an entry; a handle that SoftHSM2 does not know (any more) is forgotten at once. */
static CK_RV release(struct session *s, CK_RV rv)
{
    bool forget = s->closed || rv == CKR_SESSION_HANDLE_INVALID;

    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&global);
    drop_refs(s, forget && unlink_session(s) ? 2 : 1);
    pthread_mutex_unlock(&global);
    return rv;
}

/* Calls fn on every session entry, locked, outside of the global lock. */
static void each_session(void (*fn)(struct session *, CK_ULONG), CK_ULONG argument)
{
    struct session **all, *s;
    size_t n = 0, i;

    pthread_mutex_lock(&global);
    for (i = 0; i < LENGTH(sessions); i++)
        for (s = sessions[i]; s; s = s->next)
            n++;
    all = n ? malloc(n * sizeof *all) : NULL;
    for (n = 0, i = 0; all && i < LENGTH(sessions); i++)
        for (s = sessions[i]; s; s = s->next) {
            s->refs++;
            all[n++] = s;
        }
    pthread_mutex_unlock(&global);
    for (i = 0; i < n && all; i++) {
        pthread_mutex_lock(&all[i]->lock);
        fn(all[i], argument);
        release(all[i], CKR_OK);
    }
    free(all);
}

static void fork_prepare(void) { pthread_mutex_lock(&global); }
static void fork_parent(void) { pthread_mutex_unlock(&global); }
static void fork_child(void)
{
    /* The parent's sessions are not the child's. Their entries are abandoned, not freed: a thread that no longer exists may have
     * held their locks. They contain no secret. */
    memset(sessions, 0, sizeof sessions);
    memset(known, 0, sizeof known);
    __atomic_store_n(&ready, false, __ATOMIC_RELEASE);
    forked = true;
    pthread_mutex_init(&global, NULL);
}

/* ---- loading and SoftHSM2's own functions ------------------------------------------------------------------------------------ */

static CK_RV load_softhsm(void) /* global held */
{
    static bool atfork_done;
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    const char *path = getenv("XINYIN_DEVTOKEN_SOFTHSM"), *name = getenv("XINYIN_DEVTOKEN_VENDOR");
    void *library, *symbol;
    size_t i;

    for (i = 0; name && *name && i < LENGTH(VENDORS); i++)
        if (strcmp(VENDORS[i].name, name) == 0)
            break;
    if (name && *name && i == LENGTH(VENDORS)) {
        fprintf(stderr, "Xinyin development token: XINYIN_DEVTOKEN_VENDOR is none of sansec, tass, luna, ibm\n");
        return CKR_ARGUMENTS_BAD;
    }
    vendor = &VENDORS[name && *name ? i : 0];
    if (soft)
        return CKR_OK;
    library = dlopen(path && *path ? path : DEFAULT_SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from an object pointer to a function pointer */
    if (!get || get(&soft) != CKR_OK || !soft) {
        fprintf(stderr, "Xinyin development token: cannot load SoftHSM2: %s\n", library ? "no C_GetFunctionList" : dlerror());
        soft = NULL;
        return CKR_GENERAL_ERROR;
    }
    if (!atfork_done)
        atfork_done = pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
    return CKR_OK;
}

EXPORT CK_RV C_Initialize(void *args)
{
    const CK_C_INITIALIZE_ARGS *wanted = args;
    CK_C_INITIALIZE_ARGS os_locking = { 0 };
    CK_RV rv;

    if (wanted && wanted->pReserved)
        return CKR_ARGUMENTS_BAD;
    if (wanted && wanted->CreateMutex && !(wanted->flags & CKF_OS_LOCKING_OK))
        return CKR_CANT_LOCK;
    os_locking.flags = CKF_OS_LOCKING_OK; /* always: without it SoftHSM2 crashes as soon as two threads use it */
    pthread_mutex_lock(&global);
    if (ready) {
        pthread_mutex_unlock(&global);
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    rv = load_softhsm();
    if (rv == CKR_OK)
        rv = soft->C_Initialize(&os_locking);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && forked) { /* inherited from the parent: the child starts afresh */
        soft->C_Finalize(NULL);
        rv = soft->C_Initialize(&os_locking);
    }
    forked = forked && rv != CKR_OK;
    __atomic_store_n(&ready, rv == CKR_OK, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&global);
    return rv;
}

static void forget_session(struct session *s, CK_ULONG unused)
{
    (void)unused;
    clear_operation(s);
    end_find(s);
    s->closed = true;
}

EXPORT CK_RV C_Finalize(void *reserved)
{
    CK_RV rv;

    REQUIRE_READY();
    if (reserved)
        return CKR_ARGUMENTS_BAD;
    rv = soft->C_Finalize(NULL);
    if (rv == CKR_OK) {
        each_session(forget_session, 0);
        pthread_mutex_lock(&global);
        memset(known, 0, sizeof known); /* handles start again at 1 */
        __atomic_store_n(&ready, false, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&global);
    }
    return rv;
}

static void padded(CK_UTF8CHAR *to, size_t size, const char *text)
{
    size_t n = strlen(text);

    memset(to, ' ', size);
    memcpy(to, text, n < size ? n : size);
}

EXPORT CK_RV C_GetInfo(CK_INFO *info)
{
    CK_RV rv;

    REQUIRE_READY();
    rv = soft->C_GetInfo(info);
    if (rv == CKR_OK) {
        padded(info->manufacturerID, sizeof info->manufacturerID, MANUFACTURER);
        padded(info->libraryDescription, sizeof info->libraryDescription, LIBRARY_DESCRIPTION);
    }
    return rv;
}

EXPORT CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CK_RV rv;

    REQUIRE_READY();
    rv = soft->C_GetSlotInfo(slot, info);
    if (rv == CKR_OK) {
        padded(info->slotDescription, sizeof info->slotDescription, SLOT_DESCRIPTION);
        padded(info->manufacturerID, sizeof info->manufacturerID, MANUFACTURER);
    }
    return rv;
}

EXPORT CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv;

    REQUIRE_READY();
    rv = soft->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK) {
        padded(info->manufacturerID, sizeof info->manufacturerID, MANUFACTURER);
        padded(info->model, sizeof info->model, MODEL);
    }
    return rv;
}

/* ---- mechanisms -------------------------------------------------------------------------------------------------------------- */

static CK_ULONG sign_count(void)
{
    CK_ULONG n = 0;

    while (n < LENGTH(vendor->sign) && vendor->sign[n].type)
        n++;
    return n;
}

static const struct sm2_mechanism *sm2_mechanism(const CK_MECHANISM *m)
{
    for (CK_ULONG i = 0; m && i < sign_count(); i++)
        if (vendor->sign[i].type == m->mechanism)
            return &vendor->sign[i];
    return NULL;
}

/* Whether SoftHSM2 has this mechanism in the session's slot. */
static bool is_native(CK_SESSION_HANDLE s, CK_MECHANISM_TYPE type)
{
    CK_SESSION_INFO where;
    CK_MECHANISM_INFO what;

    return soft->C_GetSessionInfo(s, &where) == CKR_OK && soft->C_GetMechanismInfo(where.slotID, type, &what) == CKR_OK;
}

EXPORT CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n)
{
    CK_ULONG own = 0, extra = 1 + sign_count();
    CK_RV rv;

    REQUIRE_READY();
    if (!n)
        return CKR_ARGUMENTS_BAD;
    rv = soft->C_GetMechanismList(slot, NULL, &own);
    if (rv != CKR_OK)
        return rv;
    if (!list || *n < own + extra) {
        *n = own + extra;
        return list ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    rv = soft->C_GetMechanismList(slot, list, &own);
    if (rv != CKR_OK)
        return rv;
    list[own++] = vendor->generate;
    for (CK_ULONG i = 0; i < sign_count(); i++)
        list[own++] = vendor->sign[i].type;
    *n = own;
    return CKR_OK;
}

EXPORT CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    const CK_MECHANISM m = { type, NULL, 0 };
    CK_SLOT_INFO there;
    CK_RV rv;

    REQUIRE_READY();
    if (type != vendor->generate && !sm2_mechanism(&m))
        return soft->C_GetMechanismInfo(slot, type, info);
    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = soft->C_GetSlotInfo(slot, &there);
    if (rv == CKR_OK) {
        info->ulMinKeySize = info->ulMaxKeySize = 256;
        info->flags = type == vendor->generate ? CKF_GENERATE_KEY_PAIR : CKF_SIGN | CKF_VERIFY;
    }
    return rv;
}

/* ---- what a handle is --------------------------------------------------------------------------------------------------------- */

static struct known *slot_of(CK_OBJECT_HANDLE o) { return &known[o % LENGTH(known)]; }

static bool read_bytes(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, CK_BYTE **value, CK_ULONG *n)
{
    CK_ATTRIBUTE a = { type, NULL, 0 };

    *value = NULL;
    if (soft->C_GetAttributeValue(s, o, &a, 1) != CKR_OK || a.ulValueLen == CK_UNAVAILABLE_INFORMATION)
        return false;
    a.pValue = *value = calloc(1, a.ulValueLen + 1);
    if (!*value || soft->C_GetAttributeValue(s, o, &a, 1) != CKR_OK) {
        free(*value);
        *value = NULL;
        return false;
    }
    *n = a.ulValueLen;
    return true;
}

static bool is_marked(const CK_BYTE *id, CK_ULONG n) { return n >= sizeof MARK && memcmp(id, MARK, sizeof MARK) == 0; }

/* What the object is to applications. An object that cannot be looked at gives the reason, and no call is passed on for it: passing
 * one on could hit the hidden secret if another thread logs in between. */
static CK_RV classify(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, enum kind *kind)
{
    CK_ULONG class = 0, type = 0, n = 0;
    CK_ATTRIBUTE a = { CKA_CLASS, &class, sizeof class }, t = { CKA_KEY_TYPE, &type, sizeof type };
    CK_BYTE *bytes;
    CK_RV rv;

    pthread_mutex_lock(&global);
    *kind = slot_of(o)->handle == o ? slot_of(o)->kind : UNKNOWN;
    pthread_mutex_unlock(&global);
    if (*kind != UNKNOWN)
        return CKR_OK;
    rv = soft->C_GetAttributeValue(s, o, &a, 1);
    if (rv != CKR_OK)
        return rv;
    *kind = OTHER;
    if ((class == CKO_SECRET_KEY || class == CKO_PUBLIC_KEY) && soft->C_GetAttributeValue(s, o, &t, 1) == CKR_OK) {
        if (class == CKO_SECRET_KEY && type == CKK_GENERIC_SECRET) {
            if (!read_bytes(s, o, CKA_ID, &bytes, &n))
                return CKR_FUNCTION_FAILED;
            *kind = is_marked(bytes, n) ? SM2_PRIVATE : OTHER;
            free(bytes);
        } else if (class == CKO_PUBLIC_KEY && type == CKK_EC) {
            if (!read_bytes(s, o, CKA_EC_PARAMS, &bytes, &n))
                return CKR_FUNCTION_FAILED;
            *kind = n == sizeof SM2_OID && memcmp(bytes, SM2_OID, n) == 0 ? SM2_PUBLIC : OTHER;
            free(bytes);
        }
    }
    pthread_mutex_lock(&global);
    memset(slot_of(o), 0, sizeof *slot_of(o));
    slot_of(o)->handle = o;
    slot_of(o)->kind = *kind;
    pthread_mutex_unlock(&global);
    return CKR_OK;
}

static bool cached_point(CK_OBJECT_HANDLE o, CK_BYTE point[SM2_POINT])
{
    bool hit;

    pthread_mutex_lock(&global);
    hit = slot_of(o)->handle == o && slot_of(o)->has_point;
    if (hit)
        memcpy(point, slot_of(o)->point, SM2_POINT);
    pthread_mutex_unlock(&global);
    return hit;
}

static void cache_point(CK_OBJECT_HANDLE o, const CK_BYTE point[SM2_POINT])
{
    pthread_mutex_lock(&global);
    if (slot_of(o)->handle == o) {
        memcpy(slot_of(o)->point, point, SM2_POINT);
        slot_of(o)->has_point = true;
    }
    pthread_mutex_unlock(&global);
}

static void forget_object(CK_OBJECT_HANDLE o)
{
    pthread_mutex_lock(&global);
    if (slot_of(o)->handle == o)
        memset(slot_of(o), 0, sizeof *slot_of(o));
    pthread_mutex_unlock(&global);
}

/* ---- templates ---------------------------------------------------------------------------------------------------------------- */

static const CK_ATTRIBUTE *find_attribute(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; t && i < n; i++)
        if (t[i].type == type)
            return &t[i];
    return NULL;
}

static bool ulong_is(const CK_ATTRIBUTE *a, CK_ULONG value)
{
    CK_ULONG v;

    if (!a || !a->pValue || a->ulValueLen != sizeof v)
        return false;
    memcpy(&v, a->pValue, sizeof v);
    return v == value;
}

static bool bool_is(const CK_ATTRIBUTE *a, CK_BBOOL value)
{
    return a && a->pValue && a->ulValueLen == 1 && !*(CK_BBOOL *)a->pValue == !value;
}

/* Applications cannot set the mark: what they create, copy, unwrap or derive is refused if it bears it. Nor do native functions make
 * objects of the vendor's key type. */
static CK_RV refuse_forgery(const CK_ATTRIBUTE *t, CK_ULONG n)
{
    for (CK_ULONG i = 0; t && i < n; i++) {
        if (t[i].type == CKA_ID && t[i].pValue && is_marked(t[i].pValue, t[i].ulValueLen))
            return CKR_ATTRIBUTE_VALUE_INVALID;
        if (t[i].type == CKA_KEY_TYPE && ulong_is(&t[i], vendor->key_type))
            return CKR_TEMPLATE_INCONSISTENT;
    }
    return CKR_OK;
}

static bool names_sm2_curve(const CK_ATTRIBUTE *t, CK_ULONG n)
{
    const CK_ATTRIBUTE *a = find_attribute(t, n, CKA_EC_PARAMS);

    return a && a->pValue && a->ulValueLen == sizeof SM2_OID && memcmp(a->pValue, SM2_OID, sizeof SM2_OID) == 0;
}

/* ---- the view of an SM2 key --------------------------------------------------------------------------------------------------- */

static CK_RV give(CK_ATTRIBUTE *a, const void *value, CK_ULONG n)
{
    if (a->pValue && a->ulValueLen < n) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (a->pValue && n)
        memcpy(a->pValue, value, n);
    a->ulValueLen = n;
    return CKR_OK;
}

static CK_RV refuse(CK_ATTRIBUTE *a, CK_RV rv)
{
    a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return rv;
}

static CK_RV view_private(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *a)
{
    const CK_ULONG class = CKO_PRIVATE_KEY;
    const CK_BBOOL no = CK_FALSE;
    CK_BYTE *id;
    CK_ULONG n;
    CK_RV rv;

    switch (a->type) {
    case CKA_CLASS:
        return give(a, &class, sizeof class);
    case CKA_KEY_TYPE:
        return give(a, &vendor->key_type, sizeof vendor->key_type);
    case CKA_KEY_GEN_MECHANISM:
        return give(a, &vendor->generate, sizeof vendor->generate);
    case CKA_EC_PARAMS:
        return give(a, SM2_OID, sizeof SM2_OID);
    case CKA_SUBJECT:
        return give(a, "", 0);
    case CKA_ID:
        if (!read_bytes(s, o, CKA_ID, &id, &n))
            return refuse(a, CKR_FUNCTION_FAILED);
        rv = give(a, id + sizeof MARK, n - sizeof MARK);
        free(id);
        return rv;
    case CKA_TOKEN: case CKA_PRIVATE: case CKA_LABEL: case CKA_MODIFIABLE: case CKA_DESTROYABLE: case CKA_SENSITIVE:
    case CKA_EXTRACTABLE: case CKA_ALWAYS_SENSITIVE: case CKA_NEVER_EXTRACTABLE: case CKA_LOCAL: case CKA_SIGN:
    case CKA_START_DATE: case CKA_END_DATE:
        return soft->C_GetAttributeValue(s, o, a, 1);
    case CKA_COPYABLE: case CKA_DECRYPT: case CKA_UNWRAP: case CKA_DERIVE: case CKA_SIGN_RECOVER: case CKA_ALWAYS_AUTHENTICATE:
    case CKA_WRAP_WITH_TRUSTED:
        return give(a, &no, sizeof no);
    case CKA_VALUE:
        return refuse(a, CKR_ATTRIBUTE_SENSITIVE);
    default:
        return refuse(a, CKR_ATTRIBUTE_TYPE_INVALID);
    }
}

static CK_RV view_one(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, enum kind kind, CK_ATTRIBUTE *a)
{
    if (kind == SM2_PRIVATE)
        return view_private(s, o, a);
    if (kind == SM2_PUBLIC && a->type == CKA_KEY_TYPE)
        return give(a, &vendor->key_type, sizeof vendor->key_type);
    return soft->C_GetAttributeValue(s, o, a, 1);
}

EXPORT CK_RV C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_BBOOL token;
    CK_ATTRIBUTE alive = { CKA_TOKEN, &token, sizeof token };
    enum kind kind;
    CK_RV rv, one;

    REQUIRE_READY();
    if (!t)
        return CKR_ARGUMENTS_BAD;
    rv = classify(s, o, &kind);
    if (rv != CKR_OK)
        return rv;
    if (kind == OTHER)
        return soft->C_GetAttributeValue(s, o, t, n);
    rv = soft->C_GetAttributeValue(s, o, &alive, 1);
    if (rv != CKR_OK) /* gone, or logged out */
        return rv;
    for (CK_ULONG i = 0; i < n; i++) { /* all are answered, even after one that was refused */
        one = view_one(s, o, kind, &t[i]);
        if (rv == CKR_OK)
            rv = one;
    }
    return rv;
}

/* A template with CKA_ID marked; *copy is to be freed. */
static CK_RV mark_template(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE **copy)
{
    CK_BYTE *id;

    *copy = calloc(n + 1, sizeof **copy);
    if (!*copy)
        return CKR_HOST_MEMORY;
    for (CK_ULONG i = 0; i < n; i++) {
        (*copy)[i] = t[i];
        if (t[i].type != CKA_ID)
            continue;
        id = t[i].ulValueLen < 4096 ? malloc(sizeof MARK + t[i].ulValueLen) : NULL;
        (*copy)[i].pValue = id;
        if (!id)
            return CKR_ATTRIBUTE_VALUE_INVALID;
        memcpy(id, MARK, sizeof MARK);
        if (t[i].pValue)
            memcpy(id + sizeof MARK, t[i].pValue, t[i].ulValueLen);
        (*copy)[i].ulValueLen = sizeof MARK + (t[i].pValue ? t[i].ulValueLen : 0);
    }
    return CKR_OK;
}

static void free_marked(CK_ATTRIBUTE *copy, CK_ULONG n)
{
    for (CK_ULONG i = 0; copy && i < n; i++)
        if (copy[i].type == CKA_ID)
            free(copy[i].pValue);
    free(copy);
}

EXPORT CK_RV C_SetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_ATTRIBUTE *marked;
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    if (!t)
        return CKR_ARGUMENTS_BAD;
    rv = classify(s, o, &kind);
    if (rv == CKR_OK)
        rv = refuse_forgery(t, n);
    if (rv != CKR_OK)
        return rv;
    if (kind != SM2_PRIVATE)
        return soft->C_SetAttributeValue(s, o, t, n);
    for (CK_ULONG i = 0; i < n; i++)
        if (t[i].type != CKA_LABEL && t[i].type != CKA_ID && t[i].type != CKA_START_DATE && t[i].type != CKA_END_DATE)
            return CKR_ATTRIBUTE_READ_ONLY;
    rv = mark_template(t, n, &marked);
    if (rv == CKR_OK)
        rv = soft->C_SetAttributeValue(s, o, marked, n);
    free_marked(marked, n);
    return rv;
}

/* ---- objects ------------------------------------------------------------------------------------------------------------------ */

EXPORT CK_RV C_CreateObject(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
    CK_ULONG ec = CKK_EC;
    CK_ATTRIBUTE *copy;
    CK_RV rv;

    REQUIRE_READY();
    rv = refuse_forgery(t, n);
    if (rv != CKR_TEMPLATE_INCONSISTENT)
        return rv != CKR_OK ? rv : soft->C_CreateObject(s, t, n, o);
    /* Of the vendor's key type only public keys can be brought in; private ones are made here and stay here. */
    if (!ulong_is(find_attribute(t, n, CKA_CLASS), CKO_PUBLIC_KEY))
        return CKR_TEMPLATE_INCONSISTENT;
    if (find_attribute(t, n, CKA_EC_PARAMS) && !names_sm2_curve(t, n))
        return CKR_DOMAIN_PARAMS_INVALID;
    copy = calloc(n + 1, sizeof *copy);
    if (!copy)
        return CKR_HOST_MEMORY;
    for (CK_ULONG i = 0; i < n; i++) {
        copy[i] = t[i];
        if (t[i].type == CKA_KEY_TYPE)
            copy[i].pValue = &ec;
    }
    if (!find_attribute(t, n, CKA_EC_PARAMS))
        copy[n++] = (CK_ATTRIBUTE){ CKA_EC_PARAMS, (void *)SM2_OID, sizeof SM2_OID };
    rv = soft->C_CreateObject(s, copy, n, o);
    free(copy);
    return rv;
}

EXPORT CK_RV C_CopyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *copy)
{
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    rv = classify(s, o, &kind);
    if (rv == CKR_OK)
        rv = refuse_forgery(t, n);
    if (rv != CKR_OK)
        return rv;
    return kind == SM2_PRIVATE ? CKR_ACTION_PROHIBITED : soft->C_CopyObject(s, o, t, n, copy);
}

/* Ends the SoftHSM2 operation that stands behind an SM2 operation of ours (see the top of this file). */
static void end_backing(struct session *s)
{
    CK_BYTE mac[SM2_SEED] = { 0 };
    CK_ULONG n = sizeof mac;

    if (s->operation == SIGNING)
        soft->C_Sign(s->handle, mac, 1, mac, &n);
    else if (s->operation == VERIFYING)
        soft->C_Verify(s->handle, mac, 1, mac, 1); /* of the wrong length: refused at once, and over */
    OPENSSL_cleanse(mac, sizeof mac);
    clear_operation(s);
}

static void end_if_using(struct session *s, CK_ULONG key)
{
    if (s->operation != IDLE && s->key == key)
        end_backing(s);
}

EXPORT CK_RV C_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    rv = classify(s, o, &kind);
    if (rv == CKR_OK)
        rv = soft->C_DestroyObject(s, o);
    if (rv == CKR_OK && kind != OTHER)
        each_session(end_if_using, o);
    if (rv == CKR_OK)
        forget_object(o);
    return rv;
}

static void end_if_slot(struct session *s, CK_ULONG slot)
{
    CK_SESSION_INFO info;

    if (s->operation == SIGNING && soft->C_GetSessionInfo(s->handle, &info) == CKR_OK && info.slotID == slot)
        end_backing(s);
}

EXPORT CK_RV C_Logout(CK_SESSION_HANDLE s)
{
    CK_SESSION_INFO info;
    CK_RV rv;

    REQUIRE_READY();
    rv = soft->C_GetSessionInfo(s, &info);
    if (rv == CKR_OK)
        rv = soft->C_Logout(s);
    if (rv == CKR_OK)
        each_session(end_if_slot, info.slotID); /* private keys are out of reach from here on */
    return rv;
}

EXPORT CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    rv = soft->C_CloseSession(handle);
    if (rv == CKR_OK)
        forget_session(s, 0);
    return release(s, rv);
}

static void forget_if_gone(struct session *s, CK_ULONG unused)
{
    CK_SESSION_INFO info;

    if (soft->C_GetSessionInfo(s->handle, &info) != CKR_OK)
        forget_session(s, unused);
}

EXPORT CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    CK_RV rv;

    REQUIRE_READY();
    rv = soft->C_CloseAllSessions(slot);
    if (rv == CKR_OK)
        each_session(forget_if_gone, 0);
    return rv;
}

/* ---- finding ------------------------------------------------------------------------------------------------------------------ */

static bool add_found(struct session *s, CK_OBJECT_HANDLE o)
{
    CK_OBJECT_HANDLE *bigger;

    if (s->found_count % 64 == 0) {
        bigger = realloc(s->found, (s->found_count + 64) * sizeof *bigger);
        if (!bigger)
            return false;
        s->found = bigger;
    }
    s->found[s->found_count++] = o;
    return true;
}

static bool matches(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, const CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_BYTE buffer[4096];

    for (CK_ULONG i = 0; i < n; i++) {
        CK_ATTRIBUTE a = { t[i].type, buffer, sizeof buffer };

        if (view_private(s, o, &a) != CKR_OK || a.ulValueLen != t[i].ulValueLen
            || (a.ulValueLen && (!t[i].pValue || memcmp(buffer, t[i].pValue, a.ulValueLen) != 0)))
            return false;
    }
    return true;
}

/* Runs a search in SoftHSM2 to its end and keeps what `keep` accepts. */
static CK_RV search(struct session *s, CK_ATTRIBUTE *asked, CK_ULONG asked_n, CK_ATTRIBUTE *t, CK_ULONG n, bool private_half)
{
    const CK_ATTRIBUTE *type = find_attribute(asked, asked_n, CKA_KEY_TYPE);
    CK_OBJECT_HANDLE batch[64];
    CK_ULONG got = 0;
    enum kind kind;
    CK_RV rv = soft->C_FindObjectsInit(s->handle, t, n);

    while (rv == CKR_OK && (rv = soft->C_FindObjects(s->handle, batch, LENGTH(batch), &got)) == CKR_OK && got > 0)
        for (CK_ULONG i = 0; i < got; i++) {
            bool keep = classify(s->handle, batch[i], &kind) == CKR_OK;

            if (private_half)
                keep = keep && kind == SM2_PRIVATE && matches(s->handle, batch[i], asked, asked_n);
            else if (keep && kind == SM2_PUBLIC)
                keep = !type || ulong_is(type, vendor->key_type);
            else
                keep = keep && kind == OTHER && !ulong_is(type, vendor->key_type);
            if (keep && !add_found(s, batch[i]))
                rv = CKR_HOST_MEMORY;
        }
    return rv;
}

static CK_RV find_private(struct session *s, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_ULONG class = CKO_SECRET_KEY, type = CKK_GENERIC_SECRET, used = 2;
    CK_ATTRIBUTE narrow[4] = { { CKA_CLASS, &class, sizeof class }, { CKA_KEY_TYPE, &type, sizeof type } }, *marked = NULL;
    const CK_ATTRIBUTE *wanted = find_attribute(t, n, CKA_CLASS), *id = find_attribute(t, n, CKA_ID);
    const CK_ATTRIBUTE *label = find_attribute(t, n, CKA_LABEL), *key_type = find_attribute(t, n, CKA_KEY_TYPE);
    CK_RV rv = CKR_OK;

    if ((wanted && !ulong_is(wanted, CKO_PRIVATE_KEY)) || (key_type && !ulong_is(key_type, vendor->key_type)))
        return CKR_OK;
    if (label)
        narrow[used++] = *label;
    if (id && (rv = mark_template(id, 1, &marked)) == CKR_OK)
        narrow[used++] = marked[0];
    if (rv == CKR_OK)
        rv = search(s, t, n, narrow, used, true);
    free_marked(marked, 1);
    if (rv == CKR_OK)
        rv = soft->C_FindObjectsFinal(s->handle);
    return rv;
}

/* SoftHSM2's search for the application's template with the vendor's key type said in SoftHSM2's words. Left open, so that SoftHSM2
 * itself answers "operation active" until C_FindObjectsFinal. */
static CK_RV find_rest(struct session *s, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_ULONG ec = CKK_EC;
    CK_ATTRIBUTE *native = calloc(n + 1, sizeof *native);
    CK_RV rv;

    if (!native)
        return CKR_HOST_MEMORY;
    for (CK_ULONG i = 0; i < n; i++) {
        native[i] = t[i];
        if (t[i].type == CKA_KEY_TYPE && ulong_is(&t[i], vendor->key_type))
            native[i].pValue = &ec;
    }
    rv = search(s, t, n, native, n, false);
    free(native);
    return rv;
}

EXPORT CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *t, CK_ULONG n)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!t && n)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->finding || s->operation != IDLE)
        return release(s, CKR_OPERATION_ACTIVE);
    rv = find_private(s, t, n);
    if (rv == CKR_OK)
        rv = find_rest(s, t, n);
    if (rv == CKR_OK)
        s->finding = true;
    else {
        soft->C_FindObjectsFinal(handle);
        end_find(s);
    }
    return release(s, rv);
}

EXPORT CK_RV C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *o, CK_ULONG max, CK_ULONG *n)
{
    struct session *s;
    CK_ULONG none;
    CK_RV rv;

    REQUIRE_READY();
    if (!o || !n)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    rv = soft->C_FindObjects(handle, o, max, &none); /* SoftHSM2's list is used up: this asks whether session and search are alive */
    if (rv == CKR_OK)
        for (*n = 0; *n < max && s->found_next < s->found_count; (*n)++)
            o[*n] = s->found[s->found_next++];
    return release(s, rv);
}

EXPORT CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    rv = soft->C_FindObjectsFinal(handle);
    if (rv == CKR_OK)
        end_find(s);
    return release(s, rv);
}

/* ---- generating --------------------------------------------------------------------------------------------------------------- */

/* The private value of an SM2 key for the operation at hand. Needs C_SignInit with CKM_SHA512_HMAC to have succeeded; ends it. */
static CK_RV derive(CK_SESSION_HANDLE s, CK_BYTE d[SM2_SCALAR])
{
    CK_BYTE seed[SM2_SEED];
    CK_ULONG n = sizeof seed;
    CK_RV rv = soft->C_Sign(s, (CK_BYTE *)DERIVATION, sizeof DERIVATION - 1, seed, &n);

    if (rv == CKR_OK && (n != sizeof seed || !sm2_scalar_from_seed(seed, d)))
        rv = CKR_FUNCTION_FAILED;
    OPENSSL_cleanse(seed, sizeof seed);
    return rv;
}

static CK_MECHANISM backing_mechanism(void) { return (CK_MECHANISM){ CKM_SHA512_HMAC, NULL, 0 }; }

/* What a template may say of an SM2 key: nothing that this key could not keep. */
static CK_RV check_template(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ULONG class)
{
    static const CK_ATTRIBUTE_TYPE never[] = { CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_SIGN_RECOVER,
        CKA_VERIFY_RECOVER, CKA_ALWAYS_AUTHENTICATE, CKA_WRAP_WITH_TRUSTED };
    const bool private_half = class == CKO_PRIVATE_KEY;

    if (!t && n)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < n; i++) {
        const CK_ATTRIBUTE *a = &t[i];

        for (size_t j = 0; j < LENGTH(never); j++)
            if (a->type == never[j] && !bool_is(a, CK_FALSE))
                return CKR_TEMPLATE_INCONSISTENT;
        switch (a->type) {
        case CKA_CLASS:
            if (!ulong_is(a, class))
                return CKR_TEMPLATE_INCONSISTENT;
            break;
        case CKA_KEY_TYPE:
            if (!ulong_is(a, vendor->key_type))
                return CKR_TEMPLATE_INCONSISTENT;
            break;
        case CKA_EC_PARAMS:
            if (!names_sm2_curve(a, 1))
                return CKR_DOMAIN_PARAMS_INVALID;
            break;
        case CKA_ID:
            if (a->pValue && is_marked(a->pValue, a->ulValueLen))
                return CKR_ATTRIBUTE_VALUE_INVALID;
            break;
        case CKA_PRIVATE: case CKA_SENSITIVE: case CKA_SIGN:
            if (private_half && !bool_is(a, CK_TRUE))
                return CKR_TEMPLATE_INCONSISTENT;
            break;
        case CKA_EXTRACTABLE: case CKA_COPYABLE:
            if (private_half && !bool_is(a, CK_FALSE))
                return CKR_TEMPLATE_INCONSISTENT;
            break;
        case CKA_VALUE: case CKA_EC_POINT: case CKA_VALUE_LEN:
            return CKR_ATTRIBUTE_TYPE_INVALID;
        default:
            break;
        }
    }
    return CKR_OK;
}

/* The application's own choices, copied from its template: `kept` names which. */
static CK_ULONG keep_choices(CK_ATTRIBUTE *to, const CK_ATTRIBUTE *t, CK_ULONG n, const CK_ATTRIBUTE_TYPE *kept, size_t count)
{
    CK_ULONG used = 0;

    for (size_t j = 0; j < count; j++) {
        const CK_ATTRIBUTE *a = find_attribute(t, n, kept[j]);

        if (a)
            to[used++] = *a;
    }
    return used;
}

static CK_RV make_secret(CK_SESSION_HANDLE s, const CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
    static const CK_ATTRIBUTE_TYPE kept[] = { CKA_TOKEN, CKA_LABEL, CKA_MODIFIABLE, CKA_DESTROYABLE, CKA_START_DATE, CKA_END_DATE };
    CK_MECHANISM m = { CKM_GENERIC_SECRET_KEY_GEN, NULL, 0 };
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG length = SM2_SEED, used;
    CK_ATTRIBUTE own[20] = {
        { CKA_VALUE_LEN, &length, sizeof length }, { CKA_PRIVATE, &yes, 1 }, { CKA_SENSITIVE, &yes, 1 }, { CKA_EXTRACTABLE, &no, 1 },
        { CKA_SIGN, &yes, 1 }, { CKA_VERIFY, &no, 1 }, { CKA_ENCRYPT, &no, 1 }, { CKA_DECRYPT, &no, 1 }, { CKA_WRAP, &no, 1 },
        { CKA_UNWRAP, &no, 1 }, { CKA_DERIVE, &no, 1 }, { CKA_COPYABLE, &no, 1 },
    }, *marked = NULL;
    CK_ATTRIBUTE empty = { CKA_ID, NULL, 0 };
    const CK_ATTRIBUTE *id = find_attribute(t, n, CKA_ID);
    CK_RV rv = mark_template(id ? id : &empty, 1, &marked);

    if (rv == CKR_OK) {
        own[12] = marked[0];
        used = 13 + keep_choices(own + 13, t, n, kept, LENGTH(kept));
        rv = soft->C_GenerateKey(s, &m, own, used, o);
    }
    free_marked(marked, 1);
    return rv;
}

static CK_RV make_public(CK_SESSION_HANDLE s, const CK_ATTRIBUTE *t, CK_ULONG n, const CK_BYTE *point, CK_OBJECT_HANDLE *o)
{
    static const CK_ATTRIBUTE_TYPE kept[] = { CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_ID, CKA_SUBJECT, CKA_MODIFIABLE, CKA_COPYABLE,
        CKA_DESTROYABLE, CKA_VERIFY, CKA_START_DATE, CKA_END_DATE };
    CK_ULONG class = CKO_PUBLIC_KEY, ec = CKK_EC, used;
    CK_BYTE octets[2 + SM2_POINT] = { 0x04, SM2_POINT };
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE own[20] = {
        { CKA_CLASS, &class, sizeof class }, { CKA_KEY_TYPE, &ec, sizeof ec }, { CKA_EC_PARAMS, (void *)SM2_OID, sizeof SM2_OID },
        { CKA_EC_POINT, octets, sizeof octets }, { CKA_ENCRYPT, &no, 1 }, { CKA_WRAP, &no, 1 }, { CKA_DERIVE, &no, 1 },
        { CKA_VERIFY_RECOVER, &no, 1 },
    };

    memcpy(octets + 2, point, SM2_POINT);
    used = 8 + keep_choices(own + 8, t, n, kept, LENGTH(kept));
    return soft->C_CreateObject(s, own, used, o);
}

static CK_RV point_of_secret(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE secret, CK_BYTE point[SM2_POINT])
{
    CK_MECHANISM m = backing_mechanism();
    CK_BYTE d[SM2_SCALAR];
    CK_RV rv = soft->C_SignInit(s, &m, secret);

    if (rv == CKR_OK)
        rv = derive(s, d);
    if (rv == CKR_OK && !sm2_public_point(d, point))
        rv = CKR_FUNCTION_FAILED;
    OPENSSL_cleanse(d, sizeof d);
    return rv;
}

EXPORT CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM *m, CK_ATTRIBUTE *pt, CK_ULONG pn, CK_ATTRIBUTE *vt, CK_ULONG vn,
    CK_OBJECT_HANDLE *pub, CK_OBJECT_HANDLE *priv)
{
    CK_BYTE point[SM2_POINT];
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!m || !pub || !priv)
        return CKR_ARGUMENTS_BAD;
    if (m->mechanism != vendor->generate) {
        if (names_sm2_curve(pt, pn) && is_native(handle, m->mechanism)) /* a native EC key on the SM2 curve would look like half of an SM2 pair */
            return CKR_DOMAIN_PARAMS_INVALID;
        if ((rv = refuse_forgery(pt, pn)) != CKR_OK || (rv = refuse_forgery(vt, vn)) != CKR_OK)
            return rv;
        return soft->C_GenerateKeyPair(handle, m, pt, pn, vt, vn, pub, priv);
    }
    if (m->pParameter || m->ulParameterLen)
        return CKR_MECHANISM_PARAM_INVALID;
    if ((rv = check_template(pt, pn, CKO_PUBLIC_KEY)) != CKR_OK || (rv = check_template(vt, vn, CKO_PRIVATE_KEY)) != CKR_OK)
        return rv;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->operation != IDLE || s->finding)
        return release(s, CKR_OPERATION_ACTIVE);
    rv = make_secret(handle, vt, vn, priv);
    if (rv == CKR_OK) {
        rv = point_of_secret(handle, *priv, point);
        if (rv == CKR_OK)
            rv = make_public(handle, pt, pn, point, pub);
        if (rv != CKR_OK)
            soft->C_DestroyObject(handle, *priv);
    }
    return release(s, rv);
}

EXPORT CK_RV C_GenerateKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *k)
{
    CK_RV rv;

    REQUIRE_READY();
    rv = refuse_forgery(t, n);
    return rv != CKR_OK ? rv : soft->C_GenerateKey(s, m, t, n, k);
}

/* ---- what an SM2 key refuses -------------------------------------------------------------------------------------------------- */

EXPORT CK_RV C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE wk, CK_OBJECT_HANDLE k, CK_BYTE *out, CK_ULONG *on)
{
    enum kind with, what;
    CK_RV rv;

    REQUIRE_READY();
    if ((rv = classify(s, wk, &with)) != CKR_OK || (rv = classify(s, k, &what)) != CKR_OK)
        return rv;
    if (with != OTHER)
        return CKR_WRAPPING_KEY_TYPE_INCONSISTENT;
    return what == SM2_PRIVATE ? CKR_KEY_UNEXTRACTABLE : soft->C_WrapKey(s, m, wk, k, out, on);
}

EXPORT CK_RV C_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE uk, CK_BYTE *in, CK_ULONG inl, CK_ATTRIBUTE *t,
    CK_ULONG n, CK_OBJECT_HANDLE *k)
{
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    if ((rv = classify(s, uk, &kind)) != CKR_OK || (rv = refuse_forgery(t, n)) != CKR_OK)
        return rv;
    return kind != OTHER ? CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT : soft->C_UnwrapKey(s, m, uk, in, inl, t, n, k);
}

EXPORT CK_RV C_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *k)
{
    CK_OBJECT_HANDLE second;
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    if ((rv = classify(s, base, &kind)) != CKR_OK || (rv = refuse_forgery(t, n)) != CKR_OK)
        return rv;
    if (kind != OTHER)
        return CKR_KEY_TYPE_INCONSISTENT;
    if (m && m->mechanism == CKM_CONCATENATE_BASE_AND_KEY) { /* its parameter is a key handle too */
        if (!m->pParameter || m->ulParameterLen != sizeof second)
            return CKR_MECHANISM_PARAM_INVALID;
        memcpy(&second, m->pParameter, sizeof second);
        if ((rv = classify(s, second, &kind)) != CKR_OK)
            return rv;
        if (kind != OTHER)
            return CKR_KEY_TYPE_INCONSISTENT;
    }
    return soft->C_DeriveKey(s, m, base, t, n, k);
}

EXPORT CK_RV C_DigestKey(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE k)
{
    enum kind kind;
    CK_RV rv;

    REQUIRE_READY();
    if ((rv = classify(s, k, &kind)) != CKR_OK)
        return rv;
    return kind == OTHER ? soft->C_DigestKey(s, k) : CKR_KEY_INDIGESTIBLE;
}

#define NOT_FOR_SM2(name) \
    EXPORT CK_RV name(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k) \
    { \
        enum kind kind; \
        CK_RV rv; \
        REQUIRE_READY(); \
        if (!m) \
            return CKR_ARGUMENTS_BAD; \
        if ((rv = classify(s, k, &kind)) != CKR_OK) \
            return rv; \
        return kind == OTHER ? soft->name(s, m, k) : CKR_KEY_TYPE_INCONSISTENT; \
    }

NOT_FOR_SM2(C_EncryptInit)
NOT_FOR_SM2(C_DecryptInit)
NOT_FOR_SM2(C_SignRecoverInit)
NOT_FOR_SM2(C_VerifyRecoverInit)

/* ---- signing and verifying ---------------------------------------------------------------------------------------------------- */

static CK_RV point_of_private(struct session *s, CK_OBJECT_HANDLE key, CK_BYTE point[SM2_POINT])
{
    CK_RV rv;

    if (cached_point(key, point))
        return CKR_OK;
    rv = point_of_secret(s->handle, key, point);
    if (rv == CKR_OK)
        cache_point(key, point);
    return rv;
}

static CK_RV point_of_public(struct session *s, CK_OBJECT_HANDLE key, CK_BYTE point[SM2_POINT])
{
    CK_BYTE *octets;
    CK_ULONG n = 0;
    bool ok;

    if (!read_bytes(s->handle, key, CKA_EC_POINT, &octets, &n))
        return CKR_KEY_HANDLE_INVALID;
    ok = n == 2 + SM2_POINT && octets[0] == 0x04 && octets[1] == SM2_POINT && octets[2] == 0x04;
    if (ok)
        memcpy(point, octets + 2, SM2_POINT);
    free(octets);
    return ok ? CKR_OK : CKR_KEY_TYPE_INCONSISTENT;
}

static CK_RV start(struct session *s, const struct sm2_mechanism *kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key,
    const CK_BYTE point[SM2_POINT])
{
    const CK_BYTE *id = m->ulParameterLen ? m->pParameter : DEFAULT_USER_ID;
    const CK_ULONG id_len = m->ulParameterLen ? m->ulParameterLen : sizeof DEFAULT_USER_ID - 1;
    CK_BYTE z[32];

    clear_operation(s);
    if (kind->hash && !(s->sm3 = sm3_start()))
        return CKR_HOST_MEMORY;
    if (kind->z && (!sm2_z(point, id, id_len, z) || !EVP_DigestUpdate(s->sm3, z, sizeof z)))
        return CKR_FUNCTION_FAILED;
    s->mechanism = kind;
    s->key = key;
    return CKR_OK;
}

/* A user ID is the only parameter, and only where the token computes Z. */
static bool parameter_fits(const struct sm2_mechanism *kind, const CK_MECHANISM *m)
{
    return kind->z ? m->ulParameterLen <= 8191 && (m->pParameter || !m->ulParameterLen) : !m->pParameter && !m->ulParameterLen;
}

/* Begins an operation: `backing` is what SoftHSM2's session is told to do meanwhile. */
static CK_RV begin(struct session *s, enum operation what, const struct sm2_mechanism *kind, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM hmac = backing_mechanism(), ecdsa = { CKM_ECDSA, NULL, 0 };
    CK_BYTE point[SM2_POINT] = { 0 };
    CK_RV rv = CKR_OK;

    if (s->operation != IDLE || s->finding)
        return CKR_OPERATION_ACTIVE;
    if (!parameter_fits(kind, m))
        return CKR_MECHANISM_PARAM_INVALID;
    if (what == VERIFYING)
        rv = point_of_public(s, key, point);
    else if (kind->z)
        rv = point_of_private(s, key, point);
    if (rv == CKR_OK)
        rv = what == SIGNING ? soft->C_SignInit(s->handle, &hmac, key) : soft->C_VerifyInit(s->handle, &ecdsa, key);
    if (rv != CKR_OK)
        return rv;
    rv = start(s, kind, m, key, point);
    s->operation = what;
    memcpy(s->point, point, sizeof point);
    if (rv != CKR_OK)
        end_backing(s);
    return rv;
}

static CK_RV init(CK_SESSION_HANDLE handle, CK_MECHANISM *m, CK_OBJECT_HANDLE key, enum operation what)
{
    const struct sm2_mechanism *kind = sm2_mechanism(m);
    const enum kind right = what == SIGNING ? SM2_PRIVATE : SM2_PUBLIC;
    struct session *s;
    enum kind is;
    CK_RV rv;

    REQUIRE_READY();
    if (!m)
        return CKR_ARGUMENTS_BAD;
    if ((rv = classify(handle, key, &is)) != CKR_OK)
        return rv;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (kind && is == right)
        rv = begin(s, what, kind, m, key);
    else if (is == SM2_PRIVATE || is == SM2_PUBLIC) /* a native mechanism, or the wrong half of the pair */
        rv = kind ? CKR_KEY_FUNCTION_NOT_PERMITTED
            : is_native(handle, m->mechanism) ? CKR_KEY_TYPE_INCONSISTENT : CKR_MECHANISM_INVALID;
    else if (kind)
        rv = CKR_KEY_TYPE_INCONSISTENT;
    else
        rv = what == SIGNING ? soft->C_SignInit(handle, m, key) : soft->C_VerifyInit(handle, m, key);
    return release(s, rv);
}

EXPORT CK_RV C_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k) { return init(s, m, k, SIGNING); }
EXPORT CK_RV C_VerifyInit(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k) { return init(s, m, k, VERIFYING); }

#ifdef XINYIN_FAULTY
/* The faulty build, for tests alone: flips one bit of every signature while the file named by XINYIN_FAULT exists. */
static void maybe_flip(CK_RV rv, CK_BYTE *sig, const CK_ULONG *n)
{
    const char *file = getenv("XINYIN_FAULT");

    if (rv == CKR_OK && sig && *n > 8 && file && access(file, F_OK) == 0)
        sig[*n - 5] ^= 0x10;
}
#else
#define maybe_flip(rv, sig, n) ((void)0)
#endif

/* e of what was handed over: the 32 bytes themselves, or their SM3 (behind Z). */
static CK_RV finish_e(struct session *s, const CK_BYTE *data, CK_ULONG n, CK_BYTE e[32])
{
    if (s->mechanism->hash)
        return (!n || EVP_DigestUpdate(s->sm3, data, n)) && EVP_DigestFinal_ex(s->sm3, e, NULL) ? CKR_OK : CKR_FUNCTION_FAILED;
    if (n != 32)
        return CKR_DATA_LEN_RANGE;
    memcpy(e, data, 32);
    return CKR_OK;
}

/* Ends an SM2 signature. A NULL buffer asks for the size and a short one is refused; neither ends the operation. */
static CK_RV sign_now(struct session *s, const CK_BYTE *data, CK_ULONG n, CK_BYTE *sig, CK_ULONG *sn)
{
    const bool der = s->mechanism->der;
    const CK_ULONG need = der ? SM2_DER_MAX : SM2_RAW;
    CK_BYTE d[SM2_SCALAR], e[32], made[SM2_DER_MAX];
    size_t length = 0;
    CK_RV rv;

    if (!sig || *sn < need) {
        *sn = need;
        return sig ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    rv = finish_e(s, data, n, e);
    if (rv != CKR_OK) {
        end_backing(s);
        return rv;
    }
    rv = derive(s->handle, d);
    clear_operation(s);
    if (rv == CKR_OK && !sm2_sign_e(d, e, der, made, &length))
        rv = CKR_FUNCTION_FAILED;
    OPENSSL_cleanse(d, sizeof d);
    if (rv == CKR_OK) {
        memcpy(sig, made, length);
        *sn = length;
    }
    return rv;
}

static CK_RV abandon(struct session *s, CK_RV rv)
{
    end_backing(s);
    return rv;
}

EXPORT CK_RV C_Sign(CK_SESSION_HANDLE handle, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG *sn)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!sn || (!d && n))
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->operation == SIGNING)
        rv = s->parts ? abandon(s, CKR_OPERATION_NOT_INITIALIZED) : sign_now(s, d, n, sig, sn);
    else
        rv = soft->C_Sign(handle, d, n, sig, sn);
    maybe_flip(rv, sig, sn);
    return release(s, rv);
}

static CK_RV feed(struct session *s, const CK_BYTE *d, CK_ULONG n)
{
    if (!s->mechanism->hash) /* a ready-made e is signed in one piece */
        return abandon(s, CKR_OPERATION_NOT_INITIALIZED);
    s->parts = true;
    return !n || EVP_DigestUpdate(s->sm3, d, n) ? CKR_OK : abandon(s, CKR_FUNCTION_FAILED);
}

EXPORT CK_RV C_SignUpdate(CK_SESSION_HANDLE handle, CK_BYTE *d, CK_ULONG n)
{
    struct session *s;

    REQUIRE_READY();
    if (!d && n)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    return release(s, s->operation == SIGNING ? feed(s, d, n) : soft->C_SignUpdate(handle, d, n));
}

EXPORT CK_RV C_SignFinal(CK_SESSION_HANDLE handle, CK_BYTE *sig, CK_ULONG *sn)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!sn)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->operation == SIGNING)
        rv = s->mechanism->hash ? sign_now(s, NULL, 0, sig, sn) : abandon(s, CKR_OPERATION_NOT_INITIALIZED);
    else
        rv = soft->C_SignFinal(handle, sig, sn);
    maybe_flip(rv, sig, sn);
    return release(s, rv);
}

static CK_RV verify_now(struct session *s, const CK_BYTE *data, CK_ULONG n, const CK_BYTE *sig, CK_ULONG sn)
{
    const bool der = s->mechanism->der;
    CK_BYTE e[32];
    CK_RV rv = finish_e(s, data, n, e);

    if (rv == CKR_OK && (der ? sn < 8 || sn > SM2_DER_MAX : sn != SM2_RAW))
        rv = CKR_SIGNATURE_LEN_RANGE;
    if (rv == CKR_OK && !sm2_verify_e(s->point, e, der, sig, sn))
        rv = CKR_SIGNATURE_INVALID;
    end_backing(s);
    return rv;
}

EXPORT CK_RV C_Verify(CK_SESSION_HANDLE handle, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG sn)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if ((!d && n) || !sig)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->operation == VERIFYING)
        rv = s->parts ? abandon(s, CKR_OPERATION_NOT_INITIALIZED) : verify_now(s, d, n, sig, sn);
    else
        rv = soft->C_Verify(handle, d, n, sig, sn);
    return release(s, rv);
}

EXPORT CK_RV C_VerifyUpdate(CK_SESSION_HANDLE handle, CK_BYTE *d, CK_ULONG n)
{
    struct session *s;

    REQUIRE_READY();
    if (!d && n)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    return release(s, s->operation == VERIFYING ? feed(s, d, n) : soft->C_VerifyUpdate(handle, d, n));
}

EXPORT CK_RV C_VerifyFinal(CK_SESSION_HANDLE handle, CK_BYTE *sig, CK_ULONG sn)
{
    struct session *s;
    CK_RV rv;

    REQUIRE_READY();
    if (!sig)
        return CKR_ARGUMENTS_BAD;
    if (!(s = acquire(handle)))
        return CKR_HOST_MEMORY;
    if (s->operation == VERIFYING)
        rv = s->mechanism->hash ? verify_now(s, NULL, 0, sig, sn) : abandon(s, CKR_OPERATION_NOT_INITIALIZED);
    else
        rv = soft->C_VerifyFinal(handle, sig, sn);
    return release(s, rv);
}

/* Sign and verify functions without an SM2 form. While an SM2 operation is under way they must not reach SoftHSM2's session. */
#define NO_SM2_FORM(name, params, args) \
    EXPORT CK_RV name params \
    { \
        struct session *entry; \
        REQUIRE_READY(); \
        if (!(entry = acquire(s))) \
            return CKR_HOST_MEMORY; \
        return release(entry, entry->operation != IDLE ? CKR_OPERATION_NOT_INITIALIZED : soft->name args); \
    }

NO_SM2_FORM(C_SignRecover, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG *sn), (s, d, n, sig, sn))
NO_SM2_FORM(C_VerifyRecover, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG sn, CK_BYTE *d, CK_ULONG *n), (s, sig, sn, d, n))
NO_SM2_FORM(C_SignEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on))
NO_SM2_FORM(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on))

/* ---- what is passed on, and the list ------------------------------------------------------------------------------------------ */

#define FORWARD(name, params, args) \
    EXPORT CK_RV name params \
    { \
        REQUIRE_READY(); \
        return soft->name args; \
    }
#define NOTHING(name, params, args)
P11_FUNCTIONS(FORWARD, NOTHING)

#define DECLARE(name, params, args) EXPORT CK_RV name params;
#define ENTRY(name, params, args) .name = name,
DECLARE(C_GetFunctionList, (CK_FUNCTION_LIST **list), (list))
static CK_FUNCTION_LIST functions = { .version = { 2, 40 }, P11_FUNCTIONS(ENTRY, ENTRY) };

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &functions;
    return CKR_OK;
}
