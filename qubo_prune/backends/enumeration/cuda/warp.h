// What kernel.cu needs from where it runs: a GPU (nvcc, NVRTC), or this machine's processor (any C++ compiler).
//
// A warp's work is written as phases: LANES(lane) { ... } is what each of its 32 lanes does, SYNC() ends a phase. No lane sees what
// another wrote in the same phase. So the host may run the lanes of a phase one after the other, in any order, and has no other warps.

#define WARP 32
#define WARPS 4

#ifdef __CUDACC__

#define KERNEL extern "C" __global__ void __launch_bounds__(WARP * WARPS, 5)
#define DEVICE static __device__ __forceinline__
#define LANES(lane) for (int lane = threadIdx.x % WARP, once = 1; once; once = 0)
#define SYNC() __syncwarp()
#define UNROLL _Pragma("unroll")
#define UNROLL_TWICE _Pragma("unroll 2")
#define ROLLED _Pragma("unroll 1")
#define INFINITE __int_as_float(0x7f800000)
#define MINIMUM(a, b) fminf(a, b)

DEVICE void *warp_memory(unsigned long long bytes) {
    extern __shared__ __align__(16) unsigned char shared[];
    return shared + threadIdx.x / WARP * bytes;
}

#else

#include <cstddef>
#include <cstring>
#include <vector>

#define KERNEL extern "C" void
#define DEVICE static inline
#ifdef LANES_DESCENDING
#define LANES(lane) for (int lane = WARP; lane-- > 0;)
#else
#define LANES(lane) for (int lane = 0; lane < WARP; ++lane)
#endif
#define SYNC() ((void)0)
#define UNROLL
#define UNROLL_TWICE
#define ROLLED
#define INFINITE __builtin_inff()
#define MINIMUM(a, b) ((b) < (a) ? (b) : (a))

// Filled with NaN and -1, so that nothing is right by chance.
static void *warp_memory(unsigned long long bytes) {
    static thread_local std::vector<std::max_align_t> memory;
    memory.resize(bytes / sizeof(std::max_align_t) + 1);
    return std::memset(memory.data(), 0xff, bytes);
}

static inline unsigned long long atomicAdd(unsigned long long *target, unsigned long long value) {
    return __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
}

#endif
