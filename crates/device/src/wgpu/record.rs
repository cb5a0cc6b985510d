//! What is recorded: a launch with its operands bound, ready to be encoded any number of times.
//!
//! WebGPU's command buffers run once, so a graph is a list of bound launches: a replay encodes them
//! into one pass and submits it, without look-up, checks or new bindings.

use std::sync::Arc;

/// One dispatch of one launch.
pub struct Bound {
    pub(super) pipeline: ::wgpu::ComputePipeline,
    pub(super) bindings: ::wgpu::BindGroup,
    pub(super) grid: [u32; 3],
}

/// What is to be encoded, in order.
pub(super) enum Command {
    Dispatch(Arc<Bound>),
    /// The time when everything before is done, into this slot.
    Stamp(u32),
}

/// Encodes commands: neighbouring dispatches share a pass.
pub(super) fn encode(encoder: &mut ::wgpu::CommandEncoder, commands: &[Command], stamps: Option<&::wgpu::QuerySet>) {
    let mut rest = commands;
    while let Some(first) = rest.first() {
        match first {
            Command::Stamp(slot) => {
                if let Some(set) = stamps {
                    encoder.write_timestamp(set, *slot);
                }
                rest = &rest[1..];
            }
            Command::Dispatch(_) => {
                let mut pass = encoder.begin_compute_pass(&::wgpu::ComputePassDescriptor::default());
                while let Some((Command::Dispatch(bound), after)) = rest.split_first() {
                    pass.set_pipeline(&bound.pipeline);
                    pass.set_bind_group(0, &bound.bindings, &[]);
                    let [x, y, z] = bound.grid;
                    pass.dispatch_workgroups(x, y, z);
                    rest = after;
                }
            }
        }
    }
}
