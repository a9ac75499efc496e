// A table of 65,536 values read at each value's place (interface.Device.look_up).
//
// The scale is a power of two, so the product is exact; round() goes to the nearest, ties to even.

struct Grid {
    scale: f32,
    offset: f32,
    count: u32,
    width: u32,   // invocations in a row of workgroups
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> entries: array<f32>;
@group(0) @binding(2) var<storage, read> grid: Grid;
@group(0) @binding(3) var<storage, read_write> found: array<f32>;

@compute @workgroup_size(64)
fn look_up(@builtin(global_invocation_id) place: vec3<u32>) {
    let index = place.y * grid.width + place.x;
    if (index < grid.count) {
        let step = round(clamp(values[index] * grid.scale, -grid.offset, 65535.0 - grid.offset));
        found[index] = entries[u32(i32(step) + i32(grid.offset))];
    }
}
