// copied[i] = values[i]: what `provider doctor` times (kernels.capability).

struct Grid {
    count: u32,
    width: u32,   // invocations in a row of workgroups
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> grid: Grid;
@group(0) @binding(2) var<storage, read_write> copied: array<u32>;

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) place: vec3<u32>) {
    let index = place.y * grid.width + place.x;
    if (index < grid.count) {
        copied[index] = values[index];
    }
}
