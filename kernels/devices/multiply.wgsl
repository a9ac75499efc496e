// Exact sums in binary32, for any GPU that Vulkan, Metal or Direct3D 12 drives (docs/score-v1.md, "Devices").
//
// Values are whole multiples of powers of two, and no partial sum exceeds 2^24 steps (interface.Device.multiply), so
// each product and each sum below is exact: whether the driver fuses them, and how it rounds, cannot matter.

struct Sizes {
    m: u32,
    n: u32,
    k: u32,
    left_stride: u32,   // elements from one matrix of a batch to the next, 0 if all share one
    right_stride: u32,
}

const SIDE = 4u;

@group(0) @binding(0) var<storage, read> left: array<f32>;
@group(0) @binding(1) var<storage, read> right: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: Sizes;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

// sums [batch, m, n] = left [batch, m, k] times right [batch, k, n]: an invocation makes a square of SIDE x SIDE sums
// in registers. Rows and columns beyond the matrix repeat the last one, and are not stored.
@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) place: vec3<u32>) {
    let row = place.y * SIDE;
    let column = place.x * SIDE;
    if (row >= sizes.m || column >= sizes.n) {
        return;
    }
    let last = vec4<u32>(sizes.m - 1u, sizes.n - 1u, 0u, 0u);
    let rows = place.z * sizes.left_stride + min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), last.xxxx) * sizes.k;
    let columns = place.z * sizes.right_stride + min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), last.yyyy);
    var sum = array<vec4<f32>, SIDE>();
    for (var step = 0u; step < sizes.k; step++) {
        let down = columns + step * sizes.n;
        let across = vec4<f32>(right[down.x], right[down.y], right[down.z], right[down.w]);
        sum[0] += left[rows.x + step] * across;
        sum[1] += left[rows.y + step] * across;
        sum[2] += left[rows.z + step] * across;
        sum[3] += left[rows.w + step] * across;
    }
    for (var down = 0u; down < min(SIDE, sizes.m - row); down++) {
        for (var across = 0u; across < min(SIDE, sizes.n - column); across++) {
            sums[(place.z * sizes.m + row + down) * sizes.n + column + across] = sum[down][across];
        }
    }
}
