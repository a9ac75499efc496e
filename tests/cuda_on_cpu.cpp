// The part of the CUDA driver API that kernels/devices/cuda.py calls, running the kernels of exact.cu on this CPU, one
// thread after the other: the kernels and the calls are real, the GPU is not. Only tests load it.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

struct Place { unsigned x, y, z; };
static Place blockIdx, blockDim, threadIdx;
#define __global__
#define __device__
using std::rintf;
#include "exact.cu"

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, NOT_FOUND = 500 };
static std::set<void*> allocated;
static std::string image;
static int depth = 0;
static bool ready = false;
static const std::size_t memory = std::size_t{1} << 30;

static int in_context() { return !ready ? NOT_INITIALIZED : depth > 0 ? SUCCESS : INVALID_CONTEXT; }

extern "C" {

int cuInit(unsigned flags) {
    if (std::getenv("CUDA_ON_CPU_HAS_NO_GPU")) return 100;
    ready = flags == 0;
    return SUCCESS;
}

int cuDeviceGet(int* gpu, int number) { *gpu = number; return ready ? SUCCESS : NOT_INITIALIZED; }
int cuDeviceGetName(char* name, int, int) { std::strcpy(name, "this CPU"); return SUCCESS; }
int cuDevicePrimaryCtxRetain(void** context, int) { *context = &ready; return SUCCESS; }
int cuCtxPushCurrent_v2(void* context) { depth++; return context == &ready ? SUCCESS : INVALID_CONTEXT; }
int cuCtxPopCurrent_v2(void**) { return --depth < 0 ? INVALID_CONTEXT : SUCCESS; }
int cuModuleLoadData(void** module, const char* text) { image = text; *module = &image; return in_context(); }

int cuModuleGetFunction(const char** function, void*, const char* name) {
    for (const char* known : {"multiply_f32", "multiply_f64", "look_up", "add", "copy"})
        if (!std::strcmp(name, known) && image.find(".visible .entry " + std::string(name) + "(") != std::string::npos) {
            *function = known;
            return in_context();
        }
    return NOT_FOUND;
}

int cuMemAlloc_v2(std::uint64_t* place, std::size_t size) {
    if (size == 0) return INVALID_VALUE;
    if (size > memory) return OUT_OF_MEMORY;
    void* got = std::malloc(size);
    std::memset(got, 0xFF, size);  // what was never written is not a number
    allocated.insert(got);
    *place = reinterpret_cast<std::uint64_t>(got);
    return in_context();
}

int cuCtxSynchronize() { return in_context(); }

int cuMemFree_v2(std::uint64_t place) {
    void* was = reinterpret_cast<void*>(place);
    if (!allocated.erase(was)) return INVALID_VALUE;
    std::free(was);
    return in_context();
}

int cuMemcpyHtoD_v2(std::uint64_t to, const void* from, std::size_t size) {
    std::memcpy(reinterpret_cast<void*>(to), from, size);
    return in_context();
}

int cuMemcpyDtoH_v2(void* to, std::uint64_t from, std::size_t size) {
    std::memcpy(to, reinterpret_cast<void*>(from), size);
    return in_context();
}

int cuGetErrorName(int code, const char** name) {
    *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR";
    return SUCCESS;
}

int cuLaunchKernel(const char* name, unsigned groups_x, unsigned groups_y, unsigned groups_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, void*, void** arguments, void**) {
    const auto pointer = [&](int place) { return *static_cast<void**>(arguments[place]); };
    if (std::size_t{block_x} * block_y * block_z > 1024 || groups_y > 65535 || groups_z > 65535) return INVALID_VALUE;
    blockDim = {block_x, block_y, block_z};
    for (std::uint64_t all = 0; all < std::uint64_t{groups_x} * groups_y * groups_z * block_x * block_y; all++) {
        std::uint64_t rest = all;
        const auto next = [&](unsigned size) { const unsigned here = rest % size; rest /= size; return here; };
        threadIdx = {next(block_x), next(block_y), 0};
        blockIdx = {next(groups_x), next(groups_y), next(groups_z)};
        if (!std::strcmp(name, "multiply_f32"))
            multiply_f32((float*)pointer(0), (float*)pointer(1), (float*)pointer(2), *(Sizes*)arguments[3]);
        else if (!std::strcmp(name, "multiply_f64"))
            multiply_f64((double*)pointer(0), (double*)pointer(1), (double*)pointer(2), *(Sizes*)arguments[3]);
        else if (!std::strcmp(name, "add"))
            add((unsigned*)pointer(0), (unsigned*)pointer(1), (unsigned*)pointer(2), *(unsigned*)arguments[3]);
        else if (!std::strcmp(name, "copy"))
            copy((unsigned*)pointer(0), (unsigned*)pointer(1), *(unsigned*)arguments[2]);
        else
            look_up((float*)pointer(0), (float*)pointer(1), (float*)pointer(2), *(float*)arguments[3],
                    *(int*)arguments[4], *(unsigned*)arguments[5]);
    }
    return in_context();
}

std::size_t cuda_on_cpu_allocations() { return allocated.size(); }

}  // extern "C"
