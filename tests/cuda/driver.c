/* A driver and a compiler without a device, for tests/cuda_card.rs: memory is the process's, and what is asked
 * of a stream waits until somebody waits for it. So a buffer that is written too early, a copy that is not waited for
 * and a handle that is not given back show. `relu` does x[i] += v + s.a + s.b + s.c,
 * `decode_reals` copies, and every other kernel does nothing. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t address;
enum kind { COPY, SET, KERNEL, EVENT };
struct op {
    enum kind kind;
    address to, from;
    size_t bytes;
    unsigned n;
    float v;
    int s[3];
    void *event;
    struct op *next;
};
struct list { struct op *first, **last; };
struct stream { struct list asked; struct list *recorded; };

/* What the tests ask and set. */
static long live, returned, dirty;
static struct { char name[64]; long calls; int code; } known[128];

static int called(const char *name) {
    for (int i = 0; i < 128; i++) {
        if (!known[i].name[0])
            strncpy(known[i].name, name, 63);
        if (strcmp(known[i].name, name) == 0) {
            int code = known[i].code;
            known[i].calls++;
            known[i].code = 0;
            return code;
        }
    }
    abort();
}
long fake_live(void) { return live; }
/* How much memory was given back, in pieces, and how many of them held anything but zeros then. */
long fake_returned(void) { return returned; }
long fake_dirty(void) { return dirty; }
long fake_calls(const char *name) {
    long sum = 0;
    for (int i = 0; i < 128 && known[i].name[0]; i++)
        if (!*name || strcmp(known[i].name, name) == 0)
            sum += known[i].calls;
    return sum;
}
/* What an attribute of every device is from now on; -1: none that this driver knows. */
static struct { int set, value; } attributes[128];
void fake_attribute(int attribute, int value) {
    attributes[attribute].set = 1;
    attributes[attribute].value = value;
}
/* Memory of the process's that is registered, one piece at a time; a device has it under another address. */
#define APART ((address)1 << 60)
static struct { address at; size_t bytes; } registered;
/* Reads of registered memory that were asked for and not waited for when it was taken away. */
static long late;
long fake_late(void) { return late; }
/* The next call of `name` gives `code`. */
void fake_fail(const char *name, int code) {
    called(name);
    for (int i = 0; i < 128; i++)
        if (strcmp(known[i].name, name) == 0) {
            known[i].calls--;
            known[i].code = code;
            return;
        }
}

#define CALLED { int code = called(__func__); if (code) return code; }
static _Thread_local void *current;
#define WITH_CONTEXT CALLED if (!current) return 201;

static void run(struct op *op) {
    for (; op; op = op->next) {
        float *x = (float *)op->to;
        switch (op->kind) {
        case COPY: memmove((void *)op->to, (void *)(op->from & ~APART), op->bytes); break;
        case SET: memset((void *)op->to, 0, op->bytes); break;
        case KERNEL:
            for (unsigned i = 0; i < op->n; i++)
                x[i] += op->v + op->s[0] + op->s[1] + op->s[2];
            break;
        case EVENT: *(int *)op->event = 1; break;
        }
    }
}
static void drop(struct list *list) {
    for (struct op *op = list->first, *next; op; op = next) {
        next = op->next;
        free(op);
    }
    list->first = NULL;
    list->last = &list->first;
}
static void add(struct list *list, struct op op) {
    struct op *copy = malloc(sizeof op);
    *copy = op;
    copy->next = NULL;
    *list->last = copy;
    list->last = &copy->next;
}
static int ask(void *stream, struct op op) {
    struct stream *s = stream;
    if (!s) return 400;
    add(s->recorded ? s->recorded : &s->asked, op);
    return 0;
}
static void *made(size_t bytes) { live++; return calloc(1, bytes); }

/* Memory that knows how long it is, behind a header of 256 bytes. */
static void *memory(size_t bytes, int fill) {
    char *made = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    memcpy(made, &bytes, sizeof bytes);
    memset(made + 256, fill, bytes);
    live++;
    return made + 256;
}
static void give_back(void *at) {
    size_t bytes;
    char *made = (char *)at - 256;
    memcpy(&bytes, made, sizeof bytes);
    for (size_t i = 0; i < bytes; i++)
        if (((char *)at)[i]) {
            dirty++;
            break;
        }
    live--;
    returned++;
    free(made);
}

int cuInit(unsigned flags) { CALLED return flags ? 1 : 0; }
int cuDriverGetVersion(int *version) { CALLED *version = 12060; return 0; }
int cuGetErrorName(int code, const char **text) {
    *text = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == 1 ? "CUDA_ERROR_INVALID_VALUE" : NULL;
    return *text ? 0 : 1;
}
int cuGetErrorString(int code, const char **text) {
    *text = code == 700 ? "an illegal memory access was encountered" : NULL;
    return *text ? 0 : 1;
}
int cuDeviceGetCount(int *count) { CALLED *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { CALLED *device = ordinal + 40; return ordinal < 2 ? 0 : 101; }
int cuDeviceGetName(char *name, int room, int device) {
    CALLED snprintf(name, room, device == 40 ? "Made Orin" : "Made Nano");
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { CALLED *bytes = device == 40 ? 1u << 30 : 1u << 28; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    CALLED if (attributes[attribute].set) {
        *value = attributes[attribute].value;
        return *value < 0;
    }
    switch (attribute) {
    case 75: *value = device == 40 ? 8 : 5; break;
    case 76: *value = device == 40 ? 7 : 3; break;
    case 16: *value = 14; break;
    case 18: case 41: case 88: case 99: case 113: *value = 1; break;
    case 89: case 100: *value = 0; break;
    default: return 1;
    }
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { CALLED live++; *context = (void *)(intptr_t)device; return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { CALLED live--; return device < 40; }
int cuCtxSetCurrent(void *context) { CALLED current = context; return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) {
    const char *room = getenv("FAKE_FREE");
    WITH_CONTEXT *free = room ? strtoul(room, NULL, 10) : 123456;
    *total = 1u << 30;
    return 0;
}
int cuMemAlloc_v2(address *at, size_t bytes) {
    WITH_CONTEXT if (!bytes) return 1;
    if (bytes > 1u << 30) return 2;
    *at = (address)memory(bytes, 0xab);
    return 0;
}
<<<<<<< HEAD
int cuMemFree_v2(address at) { WITH_CONTEXT live--; free((void *)at); return 0; }
int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) { WITH_CONTEXT *at = made(bytes); return flags; }
int cuMemFreeHost(void *at) { WITH_CONTEXT live--; free(at); return 0; }
int cuMemHostRegister_v2(void *at, size_t bytes, unsigned flags) {
    WITH_CONTEXT if (!at || !bytes || flags != (2 | 8) || registered.bytes) return 1;
    registered.at = (address)at;
    registered.bytes = bytes;
    live++;
    return 0;
}
int cuMemHostGetDevicePointer_v2(address *at, void *from, unsigned flags) {
    WITH_CONTEXT if (flags || (address)from != registered.at) return 1;
    *at = registered.at | APART;
    return 0;
}
static struct stream *newest;
int cuMemHostUnregister(void *at) {
    WITH_CONTEXT if ((address)at != registered.at) return 713;
    for (struct op *op = newest->asked.first; op; op = op->next)
        late += op->from - (registered.at | APART) < registered.bytes;
    registered.bytes = 0;
    live--;
    return 0;
}
=======
int cuMemFree_v2(address at) { WITH_CONTEXT give_back((void *)at); return 0; }
int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) { WITH_CONTEXT *at = memory(bytes, 0xcd); return flags; }
int cuMemFreeHost(void *at) { WITH_CONTEXT give_back(at); return 0; }
>>>>>>> homes
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t bytes, void *stream) {
    WITH_CONTEXT return ask(stream, (struct op){ COPY, to, (address)from, bytes });
}
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t bytes, void *stream) {
    WITH_CONTEXT return ask(stream, (struct op){ COPY, (address)to, from, bytes });
}
int cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, void *stream) {
    WITH_CONTEXT return ask(stream, (struct op){ COPY, to, from, bytes });
}
int cuMemsetD8Async(address to, unsigned char value, size_t bytes, void *stream) {
    WITH_CONTEXT return value ? 1 : ask(stream, (struct op){ SET, to, 0, bytes });
}
int cuStreamCreate(void **stream, unsigned flags) {
    WITH_CONTEXT if (flags != 1) return 1;
    struct stream *s = made(sizeof *s);
    s->asked.last = &s->asked.first;
    newest = s;
    *stream = s;
    return 0;
}
int cuStreamSynchronize(void *stream) {
    WITH_CONTEXT struct stream *s = stream;
    if (s->recorded) return 900;
    run(s->asked.first);
    drop(&s->asked);
    return 0;
}
int cuStreamDestroy_v2(void *stream) {
    WITH_CONTEXT drop(&((struct stream *)stream)->asked);
    live--;
    free(stream);
    return 0;
}
int cuStreamBeginCapture_v2(void *stream, int mode) {
    WITH_CONTEXT struct stream *s = stream;
    if (s->recorded || mode != 2) return 1;
    s->recorded = made(sizeof *s->recorded);
    s->recorded->last = &s->recorded->first;
    return 0;
}
int cuStreamEndCapture(void *stream, void **graph) {
    *graph = NULL;
    WITH_CONTEXT struct stream *s = stream;
    if (!s->recorded) return 903;
    *graph = s->recorded;
    s->recorded = NULL;
    return 0;
}
int cuGraphDestroy(void *graph) { WITH_CONTEXT drop(graph); live--; free(graph); return 0; }
int cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long flags) {
    WITH_CONTEXT if (flags) return 1;
    struct list *copy = made(sizeof *copy);
    copy->last = &copy->first;
    for (struct op *op = ((struct list *)graph)->first; op; op = op->next)
        add(copy, *op);
    *ready = copy;
    return 0;
}
int cuGraphLaunch(void *ready, void *stream) {
    WITH_CONTEXT for (struct op *op = ((struct list *)ready)->first; op; op = op->next)
        ask(stream, *op);
    return 0;
}
int cuGraphExecDestroy(void *ready) { WITH_CONTEXT drop(ready); live--; free(ready); return 0; }
int cuEventCreate(void **event, unsigned flags) { WITH_CONTEXT *event = made(sizeof(int)); return flags != 2; }
int cuEventDestroy_v2(void *event) { WITH_CONTEXT live--; free(event); return 0; }
static struct stream *recorded_in;
int cuEventRecord(void *event, void *stream) {
    WITH_CONTEXT *(int *)event = 0;
    recorded_in = stream;
    return ask(stream, (struct op){ .kind = EVENT, .event = event });
}
/* Runs no more than what the event waits for. */
int cuEventSynchronize(void *event) {
    WITH_CONTEXT struct list *asked = &recorded_in->asked;
    while (asked->first && !*(int *)event) {
        struct op *op = asked->first;
        asked->first = op->next;
        if (!asked->first) asked->last = &asked->first;
        op->next = NULL;
        run(op);
        free(op);
    }
    return 0;
}
int cuModuleLoadDataEx(void **module, const void *code, unsigned count, int *options, void **values) {
    WITH_CONTEXT if (count != 2 || options[0] != 5 || options[1] != 6) return 1;
    if (strncmp(code, "\x7f" "ELF made for --gpu-architecture=sm_87", 38)) {
        snprintf(values[0], (size_t)values[1], "no code for this device\n");
        return 209;
    }
    *module = made(1);
    return 0;
}
int cuModuleUnload(void *module) { WITH_CONTEXT live--; free(module); return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    WITH_CONTEXT *function = !module || !*name           ? NULL
                             : !strcmp(name, "relu")         ? (void *)1
                             : !strcmp(name, "decode_reals") ? (void *)2
                                                             : (void *)3;
    return strcmp(name, "sum_partials") ? 0 : 500;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned t, unsigned ty, unsigned tz,
                   unsigned shared, void *stream, void **params, void **extra) {
    WITH_CONTEXT if (!function || !x || !y || !z || !t || ty != 1 || tz != 1 || shared || extra) return 1;
    if (t > 1024) return 1;
    if (function == (void *)2) {
        /* Values of four bytes, as they are; of none that are shorter. */
        struct op op = { COPY };
        if (*(unsigned *)params[4]) return 0;
        memcpy(&op.from, params[0], 8);
        memcpy(&op.to, params[1], 8);
        memcpy(&op.n, params[3], 4);
        op.bytes = 4 * (size_t)op.n;
        return ask(stream, op);
    }
    if (function == (void *)3) return 0;
    struct op op = { KERNEL };
    memcpy(&op.to, params[0], 8);
    memcpy(&op.n, params[1], 4);
    memcpy(&op.v, params[2], 4);
    memcpy(op.s, params[3], 12);
    if (op.n > x * y * z * t) op.n = x * y * z * t;
    /* A kernel may declare as much as this. */
    for (int i = 4; i < 60; i++)
        for (int b = 0; b < 64; b++)
            if (((char *)params[i])[b]) return 1;
    return ask(stream, op);
}

struct program { char option[64]; };
int nvrtcVersion(int *major, int *minor) { CALLED *major = 12; *minor = 6; return 0; }
int nvrtcGetNumSupportedArchs(int *count) { CALLED *count = 3; return 0; }
int nvrtcGetSupportedArchs(int *known) { CALLED known[0] = 87; known[1] = 72; known[2] = 80; return 0; }
int nvrtcCreateProgram(void **program, const char *text, const char *name, int count, const char *const *headers,
                       const char *const *names) {
    CALLED (void)name;
    *program = made(sizeof(struct program));
    return !text || count || headers || names;
}
int nvrtcCompileProgram(void *program, int count, const char *const *options) {
    CALLED strncpy(((struct program *)program)->option, options[count - 1], 63);
    return 0;
}
int nvrtcDestroyProgram(void **program) { CALLED live--; free(*program); *program = NULL; return 0; }
int nvrtcGetProgramLogSize(void *program, size_t *bytes) { CALLED (void)program; *bytes = 32; return 0; }
int nvrtcGetProgramLog(void *program, char *log) {
    CALLED (void)program;
    snprintf(log, 32, "conv.cu(3): error: made");
    return 0;
}
int nvrtcGetCUBINSize(void *program, size_t *bytes) { CALLED (void)program; *bytes = 80; return 0; }
int nvrtcGetCUBIN(void *program, char *code) {
    CALLED memset(code, 0, 80);
    snprintf(code, 80, "\x7f" "ELF made for %s", ((struct program *)program)->option);
    return 0;
}
int nvrtcGetPTXSize(void *program, size_t *bytes) { CALLED (void)program; *bytes = 1; return 0; }
int nvrtcGetPTX(void *program, char *code) { CALLED (void)program; *code = 0; return 0; }
const char *nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER"; }
