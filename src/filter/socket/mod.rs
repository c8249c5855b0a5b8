//! Classic BPF programs that filter events in the socket.

mod assembler;
mod compiler;
mod emitter;
mod locations;

use super::Filter;

pub use assembler::Instruction;

/// `BPF_MAXINSNS`: the most instructions that the kernel accepts.
const LONGEST: usize = 4096;

/// A classic BPF program that drops events of flows that do not match a filter before they are queued.
///
/// It is attached with `SO_ATTACH_FILTER` to a socket that receives only events. Every event of a flow that the filter
/// matches passes. If the program [is exact](Self::is_exact), no event of another flow passes; otherwise a receiver has
/// to evaluate the filter again. Events of expectations and all other messages always pass.
///
/// A program does not compare counters, ages, labels and helpers, and it does not find out whether an endpoint is
/// translated (it compares the address and port after the translation). If a filter needs more than the 4096
/// instructions that the kernel accepts, the program compares large sets coarsely, and leaves out conditions if that is
/// not enough.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::SocketFilter};
///
/// let ssh: Filter = "proto tcp and dport 22".parse()?;
/// let program = SocketFilter::new(&ssh);
/// assert!(program.is_exact());
/// // All new flows, no updates, and the ends of flows to port 22.
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
    /// Compiles one filter for every kind of event.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        compiler::compile(&[filter], LONGEST)
    }

    /// Compiles one filter for new flows, one for updates and one for the ends of flows.
    ///
    /// # Example
    ///
    /// ```
    /// use ctnetlink::{Filter, filter::SocketFilter};
    ///
    /// let ends_only = SocketFilter::per_event(&Filter::nothing(), &Filter::nothing(), &Filter::everything());
    /// assert!(ends_only.is_exact());
    /// ```
    #[must_use]
    pub fn per_event(new: &Filter, update: &Filter, destroy: &Filter) -> Self {
        compiler::compile(&[new, update, destroy], LONGEST)
    }

    /// Compiles a filter for each kind of event into at most `longest` instructions, or as many as it takes to let
    /// everything pass.
    ///
    /// A program counts toward the memory for socket options (`net.core.optmem_max`, 20 KiB by default before Linux
    /// 6.8). If it exceeds that, attaching it fails with ENOMEM, and a shorter program may fit.
    ///
    /// # Example
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use ctnetlink::{Filter, filter::{AddressSet, SocketFilter}};
    ///
    /// let many: AddressSet = (0..10_000).map(|number| Ipv4Addr::from_bits(number * 3)).collect();
    /// let filter = Filter::source(many);
    /// let program = SocketFilter::per_event_within(300, &filter, &filter, &filter);
    /// assert!(program.instructions().len() <= 300 && !program.is_exact());
    /// ```
    #[must_use]
    pub fn per_event_within(longest: usize, new: &Filter, update: &Filter, destroy: &Filter) -> Self {
        compiler::compile(&[new, update, destroy], longest.min(LONGEST))
    }

    /// Returns the program: from 1 to 4096 instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Returns whether only events of flows that match pass.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.exact
    }
}
