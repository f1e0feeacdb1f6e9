/* The part of PKCS #11 v2.40 (OASIS) that the development token needs, written out so that building it needs no other package's
 * header. Layouts are the standard's on Unix: natural alignment, CK_ULONG = unsigned long. */
#ifndef XINYIN_PKCS11_H
#define XINYIN_PKCS11_H

typedef unsigned char CK_BYTE, CK_BBOOL, CK_UTF8CHAR;
typedef unsigned long CK_ULONG, CK_RV, CK_FLAGS, CK_SLOT_ID, CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_MECHANISM_TYPE, CK_ATTRIBUTE_TYPE;

typedef struct { CK_BYTE major, minor; } CK_VERSION;
typedef struct { CK_ATTRIBUTE_TYPE type; void *pValue; CK_ULONG ulValueLen; } CK_ATTRIBUTE;
typedef struct { CK_MECHANISM_TYPE mechanism; void *pParameter; CK_ULONG ulParameterLen; } CK_MECHANISM;
typedef struct { CK_ULONG ulMinKeySize, ulMaxKeySize; CK_FLAGS flags; } CK_MECHANISM_INFO;
typedef struct {
    CK_VERSION cryptokiVersion;
    CK_UTF8CHAR manufacturerID[32];
    CK_FLAGS flags;
    CK_UTF8CHAR libraryDescription[32];
    CK_VERSION libraryVersion;
} CK_INFO;
typedef struct {
    CK_UTF8CHAR slotDescription[64], manufacturerID[32];
    CK_FLAGS flags;
    CK_VERSION hardwareVersion, firmwareVersion;
} CK_SLOT_INFO;
typedef struct {
    CK_UTF8CHAR label[32], manufacturerID[32], model[16], serialNumber[16];
    CK_FLAGS flags;
    CK_ULONG ulMaxSessionCount, ulSessionCount, ulMaxRwSessionCount, ulRwSessionCount, ulMaxPinLen, ulMinPinLen;
    CK_ULONG ulTotalPublicMemory, ulFreePublicMemory, ulTotalPrivateMemory, ulFreePrivateMemory;
    CK_VERSION hardwareVersion, firmwareVersion;
    CK_BYTE utcTime[16];
} CK_TOKEN_INFO;
typedef struct { CK_SLOT_ID slotID; CK_ULONG state; CK_FLAGS flags; CK_ULONG ulDeviceError; } CK_SESSION_INFO;
typedef struct { void *CreateMutex, *DestroyMutex, *LockMutex, *UnlockMutex; CK_FLAGS flags; void *pReserved; } CK_C_INITIALIZE_ARGS;

#define CK_TRUE 1
#define CK_FALSE 0
#define CK_UNAVAILABLE_INFORMATION (~0UL)

#define CKF_OS_LOCKING_OK 0x00000002UL
#define CKF_SIGN 0x00000800UL
#define CKF_VERIFY 0x00002000UL
#define CKF_GENERATE_KEY_PAIR 0x00010000UL

#define CKO_PUBLIC_KEY 2UL
#define CKO_PRIVATE_KEY 3UL
#define CKO_SECRET_KEY 4UL
#define CKK_EC 3UL
#define CKK_GENERIC_SECRET 0x10UL

#define CKM_SHA512_HMAC 0x271UL
#define CKM_GENERIC_SECRET_KEY_GEN 0x350UL
#define CKM_CONCATENATE_BASE_AND_KEY 0x360UL
#define CKM_ECDSA 0x1041UL

#define CKA_CLASS 0x000UL
#define CKA_TOKEN 0x001UL
#define CKA_PRIVATE 0x002UL
#define CKA_LABEL 0x003UL
#define CKA_VALUE 0x011UL
#define CKA_KEY_TYPE 0x100UL
#define CKA_SUBJECT 0x101UL
#define CKA_ID 0x102UL
#define CKA_SENSITIVE 0x103UL
#define CKA_ENCRYPT 0x104UL
#define CKA_DECRYPT 0x105UL
#define CKA_WRAP 0x106UL
#define CKA_UNWRAP 0x107UL
#define CKA_SIGN 0x108UL
#define CKA_SIGN_RECOVER 0x109UL
#define CKA_VERIFY 0x10AUL
#define CKA_VERIFY_RECOVER 0x10BUL
#define CKA_DERIVE 0x10CUL
#define CKA_START_DATE 0x110UL
#define CKA_END_DATE 0x111UL
#define CKA_VALUE_LEN 0x161UL
#define CKA_EXTRACTABLE 0x162UL
#define CKA_LOCAL 0x163UL
#define CKA_NEVER_EXTRACTABLE 0x164UL
#define CKA_ALWAYS_SENSITIVE 0x165UL
#define CKA_KEY_GEN_MECHANISM 0x166UL
#define CKA_MODIFIABLE 0x170UL
#define CKA_COPYABLE 0x171UL
#define CKA_DESTROYABLE 0x172UL
#define CKA_EC_PARAMS 0x180UL
#define CKA_EC_POINT 0x181UL
#define CKA_ALWAYS_AUTHENTICATE 0x202UL
#define CKA_WRAP_WITH_TRUSTED 0x210UL

#define CKR_OK 0x000UL
#define CKR_HOST_MEMORY 0x002UL
#define CKR_GENERAL_ERROR 0x005UL
#define CKR_FUNCTION_FAILED 0x006UL
#define CKR_ARGUMENTS_BAD 0x007UL
#define CKR_CANT_LOCK 0x00AUL
#define CKR_ATTRIBUTE_READ_ONLY 0x010UL
#define CKR_ATTRIBUTE_SENSITIVE 0x011UL
#define CKR_ATTRIBUTE_TYPE_INVALID 0x012UL
#define CKR_ATTRIBUTE_VALUE_INVALID 0x013UL
#define CKR_ACTION_PROHIBITED 0x01BUL
#define CKR_DATA_LEN_RANGE 0x021UL
#define CKR_KEY_HANDLE_INVALID 0x060UL
#define CKR_KEY_TYPE_INCONSISTENT 0x063UL
#define CKR_KEY_INDIGESTIBLE 0x067UL
#define CKR_KEY_FUNCTION_NOT_PERMITTED 0x068UL
#define CKR_KEY_UNEXTRACTABLE 0x06AUL
#define CKR_MECHANISM_INVALID 0x070UL
#define CKR_MECHANISM_PARAM_INVALID 0x071UL
#define CKR_OPERATION_ACTIVE 0x090UL
#define CKR_OPERATION_NOT_INITIALIZED 0x091UL
#define CKR_SESSION_HANDLE_INVALID 0x0B3UL
#define CKR_SIGNATURE_INVALID 0x0C0UL
#define CKR_SIGNATURE_LEN_RANGE 0x0C1UL
#define CKR_TEMPLATE_INCOMPLETE 0x0D0UL
#define CKR_TEMPLATE_INCONSISTENT 0x0D1UL
#define CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT 0x0F2UL
#define CKR_WRAPPING_KEY_TYPE_INCONSISTENT 0x115UL
#define CKR_DOMAIN_PARAMS_INVALID 0x130UL
#define CKR_BUFFER_TOO_SMALL 0x150UL
#define CKR_CRYPTOKI_NOT_INITIALIZED 0x190UL
#define CKR_CRYPTOKI_ALREADY_INITIALIZED 0x191UL

/* Every function of CK_FUNCTION_LIST after `version`, in the standard's order: F = passed on as it is once the module is ready,
 * O = overridden. Each gives name, parameters, and the arguments to pass on. */
#define P11_FUNCTIONS(F, O) \
    O(C_Initialize, (void *args), (args)) \
    O(C_Finalize, (void *reserved), (reserved)) \
    O(C_GetInfo, (CK_INFO *info), (info)) \
    O(C_GetFunctionList, (struct CK_FUNCTION_LIST **list), (list)) \
    F(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n), (present, slots, n)) \
    O(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info)) \
    O(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info)) \
    O(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n), (slot, list, n)) \
    O(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info), (slot, type, info)) \
    F(C_InitToken, (CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG n, CK_UTF8CHAR *label), (slot, pin, n, label)) \
    F(C_InitPIN, (CK_SESSION_HANDLE s, CK_UTF8CHAR *pin, CK_ULONG n), (s, pin, n)) \
    F(C_SetPIN, (CK_SESSION_HANDLE s, CK_UTF8CHAR *old, CK_ULONG on, CK_UTF8CHAR *pin, CK_ULONG n), (s, old, on, pin, n)) \
    F(C_OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *app, void *notify, CK_SESSION_HANDLE *s), (slot, flags, app, notify, s)) \
    O(C_CloseSession, (CK_SESSION_HANDLE s), (s)) \
    O(C_CloseAllSessions, (CK_SLOT_ID slot), (slot)) \
    F(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO *info), (s, info)) \
    F(C_GetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *state, CK_ULONG *n), (s, state, n)) \
    F(C_SetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *state, CK_ULONG n, CK_OBJECT_HANDLE ek, CK_OBJECT_HANDLE ak), \
      (s, state, n, ek, ak)) \
    F(C_Login, (CK_SESSION_HANDLE s, CK_ULONG user, CK_UTF8CHAR *pin, CK_ULONG n), (s, user, pin, n)) \
    O(C_Logout, (CK_SESSION_HANDLE s), (s)) \
    O(C_CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o), (s, t, n, o)) \
    O(C_CopyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *copy), (s, o, t, n, copy)) \
    O(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o)) \
    F(C_GetObjectSize, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ULONG *size), (s, o, size)) \
    O(C_GetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n), (s, o, t, n)) \
    O(C_SetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n), (s, o, t, n)) \
    O(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n), (s, t, n)) \
    O(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *o, CK_ULONG max, CK_ULONG *n), (s, o, max, n)) \
    O(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s)) \
    O(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    F(C_Encrypt, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_EncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_EncryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *on), (s, out, on)) \
    O(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    F(C_Decrypt, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_DecryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_DecryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *on), (s, out, on)) \
    F(C_DigestInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m), (s, m)) \
    F(C_Digest, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_DigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n), (s, d, n)) \
    O(C_DigestKey, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE k), (s, k)) \
    F(C_DigestFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *on), (s, out, on)) \
    O(C_SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    O(C_Sign, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG *sn), (s, d, n, sig, sn)) \
    O(C_SignUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n), (s, d, n)) \
    O(C_SignFinal, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG *sn), (s, sig, sn)) \
    O(C_SignRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    O(C_SignRecover, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG *sn), (s, d, n, sig, sn)) \
    O(C_VerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    O(C_Verify, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *sig, CK_ULONG sn), (s, d, n, sig, sn)) \
    O(C_VerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n), (s, d, n)) \
    O(C_VerifyFinal, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG sn), (s, sig, sn)) \
    O(C_VerifyRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k), (s, m, k)) \
    O(C_VerifyRecover, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG sn, CK_BYTE *d, CK_ULONG *n), (s, sig, sn, d, n)) \
    F(C_DigestEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    F(C_DecryptDigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    O(C_SignEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    O(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *d, CK_ULONG n, CK_BYTE *out, CK_ULONG *on), (s, d, n, out, on)) \
    O(C_GenerateKey, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *k), (s, m, t, n, k)) \
    O(C_GenerateKeyPair, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pt, CK_ULONG pn, CK_ATTRIBUTE *vt, CK_ULONG vn, \
      CK_OBJECT_HANDLE *pub, CK_OBJECT_HANDLE *priv), (s, m, pt, pn, vt, vn, pub, priv)) \
    O(C_WrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE wk, CK_OBJECT_HANDLE k, CK_BYTE *out, CK_ULONG *on), \
      (s, m, wk, k, out, on)) \
    O(C_UnwrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE uk, CK_BYTE *in, CK_ULONG inl, CK_ATTRIBUTE *t, CK_ULONG n, \
      CK_OBJECT_HANDLE *k), (s, m, uk, in, inl, t, n, k)) \
    O(C_DeriveKey, (CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *k), \
      (s, m, base, t, n, k)) \
    F(C_SeedRandom, (CK_SESSION_HANDLE s, CK_BYTE *seed, CK_ULONG n), (s, seed, n)) \
    F(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG n), (s, out, n)) \
    F(C_GetFunctionStatus, (CK_SESSION_HANDLE s), (s)) \
    F(C_CancelFunction, (CK_SESSION_HANDLE s), (s)) \
    F(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved), (flags, slot, reserved))

#define P11_MEMBER(name, params, args) CK_RV (*name) params;
typedef struct CK_FUNCTION_LIST {
    CK_VERSION version;
    P11_FUNCTIONS(P11_MEMBER, P11_MEMBER)
} CK_FUNCTION_LIST;

#endif
