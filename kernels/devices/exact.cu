// Exact sums and tables for NVIDIA's GPUs; `tools/cuda.py` compiles this to exact.ptx, which the driver then translates.
//
// Values are whole multiples of powers of two, and no partial sum exceeds 2^24 steps in binary32 or 2^53 in binary64
// (interface.Device.multiply), so each product and each sum below is exact: neither fusing nor rounding can matter.

struct Sizes {
    unsigned m, n, k;
    unsigned left_stride, right_stride;  // elements from one matrix of a batch to the next, 0 if all share one
};

constexpr unsigned SIDE = 4;

// sums [batch, m, n] = left [batch, m, k] times right [batch, k, n]: a thread makes a square of SIDE x SIDE sums in
// registers. Rows and columns beyond the matrix repeat the last one, and are not stored.
template <typename Real>
__device__ void multiply(const Real* left, const Real* right, Real* sums, Sizes size) {
    const unsigned row = (blockIdx.y * blockDim.y + threadIdx.y) * SIDE;
    const unsigned column = (blockIdx.x * blockDim.x + threadIdx.x) * SIDE;
    if (row >= size.m || column >= size.n) return;
    left += blockIdx.z * (size_t)size.left_stride;
    right += blockIdx.z * (size_t)size.right_stride;
    sums += blockIdx.z * (size_t)size.m * size.n;
    Real square[SIDE][SIDE] = {};
    for (unsigned step = 0; step < size.k; step++) {
        Real across[SIDE];
        for (unsigned c = 0; c < SIDE; c++) {
            const unsigned place = column + c < size.n ? column + c : size.n - 1;
            across[c] = right[step * (size_t)size.n + place];
        }
        for (unsigned r = 0; r < SIDE; r++) {
            const unsigned place = row + r < size.m ? row + r : size.m - 1;
            const Real down = left[place * (size_t)size.k + step];
            for (unsigned c = 0; c < SIDE; c++) square[r][c] += down * across[c];
        }
    }
    for (unsigned r = 0; r < SIDE && row + r < size.m; r++)
        for (unsigned c = 0; c < SIDE && column + c < size.n; c++)
            sums[(row + r) * (size_t)size.n + column + c] = square[r][c];
}

extern "C" __global__ void multiply_f32(const float* left, const float* right, float* sums, Sizes size) {
    multiply(left, right, sums, size);
}

extern "C" __global__ void multiply_f64(const double* left, const double* right, double* sums, Sizes size) {
    multiply(left, right, sums, size);
}

// A table of 65,536 values read at each value's place (interface.Device.look_up). The scale is a power of two, so the
// product is exact; rintf goes to the nearest, ties to even.
extern "C" __global__ void look_up(const float* values, const float* entries, float* found, float scale, int offset,
                                   unsigned count) {
    const unsigned place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= count) return;
    const float low = -(float)offset, high = (float)(65535 - offset);
    const float step = rintf(fminf(fmaxf(values[place] * scale, low), high));
    found[place] = entries[(int)step + offset];
}

// sums[i] = left[i] + right[i] modulo 2^32, and copied[i] = values[i]: what `provider doctor` times (kernels.capability).
extern "C" __global__ void add(const unsigned* left, const unsigned* right, unsigned* sums, unsigned count) {
    const unsigned place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < count) sums[place] = left[place] + right[place];
}

extern "C" __global__ void copy(const unsigned* values, unsigned* copied, unsigned count) {
    const unsigned place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < count) copied[place] = values[place];
}
