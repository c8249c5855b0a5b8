//! Who caused an event.

/// The process whose request caused an event, for the end of an event's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "what conntrack(8) shows of it")]
pub struct Sender<'a> {
    /// The port of its netlink socket (`nlmsg_pid`): not 0, which is the kernel itself.
    pub port_id: u32,
    /// The name of its program, where the caller knows it.
    pub program: Option<&'a str>,
}
