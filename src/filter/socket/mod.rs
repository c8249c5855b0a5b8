//! A filter as a classic BPF program for event sockets.

mod assembler;
mod compiler;
mod emitter;
mod locations;

use super::Filter;

pub use assembler::Instruction;

/// `BPF_MAXINSNS`: what the kernel takes.
const LONGEST: usize = 4096;

/// A classic BPF program that lets pass the events of the flows that are meant, before they are queued.
///
/// For a socket that receives events and nothing else: `SO_ATTACH_FILTER`. It passes every event that the filter
/// matches; where [`is_exact`](Self::is_exact) says so, no other. Expectations, and everything that is no event of a
/// flow, pass always.
///
/// What it does not look at: counters, age, labels, helper, and whether an end is translated (though where to, it
/// does). Nor does it look into sets that are too large for the 4096 instructions that the kernel takes: it checks less
/// closely until it fits.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::SocketFilter};
///
/// let ssh: Filter = "proto tcp and dport 22".parse()?;
/// let program = SocketFilter::new(&ssh);
/// assert!(program.is_exact());
/// // New flows of any kind, and the end of those to port 22; updates of none.
/// let program = SocketFilter::per_event(&Filter::everything(), &Filter::nothing(), &ssh);
/// assert!(program.instructions().len() < 100);
/// # Ok::<(), ctnetlink::filter::ParseFilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFilter {
    instructions: Vec<Instruction>,
    exact: bool,
}

impl SocketFilter {
    /// One filter for every kind of event.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        compiler::compile(&[filter], LONGEST)
    }

    /// A filter each for new flows, updates, and ends.
    #[must_use]
    pub fn per_event(new: &Filter, update: &Filter, destroy: &Filter) -> Self {
        compiler::compile(&[new, update, destroy], LONGEST)
    }

    /// As [`per_event`](Self::per_event), in no more than `longest` instructions (but never fewer than it takes to let
    /// everything pass).
    ///
    /// A program counts against what a socket may use for its options (`net.core.optmem_max`, 20 KiB by default before
    /// Linux 6.8), and the kernel answers ENOMEM to one that is too long for it: then a shorter one is wanted.
    #[must_use]
    pub fn per_event_within(longest: usize, new: &Filter, update: &Filter, destroy: &Filter) -> Self {
        compiler::compile(&[new, update, destroy], longest.min(LONGEST))
    }

    /// The program: at least one instruction, at most 4096.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether no other flow's event passes.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }
}
