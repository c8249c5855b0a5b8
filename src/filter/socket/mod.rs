//! Classic BPF programs that filter events in the socket.

mod emitter;

use std::borrow::Cow;

use emitter::{ATTRIBUTES, Assembler, Emitter, Label, NLATTR, Opcode};

use super::{Filter, evaluate::Program};
use crate::wire::{CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, Flags, MessageType};

pub use emitter::Instruction;

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
        compile(&[filter], LONGEST)
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
        compile(&[new, update, destroy], LONGEST)
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
        compile(&[new, update, destroy], longest.min(LONGEST))
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

/// How many ranges of a set are compared: tried from exact to coarse until the program fits.
const LIMITS: [usize; 4] = [usize::MAX, 512, 64, COARSEST];
const COARSEST: usize = 8;

/// Offsets in `struct nlmsghdr`.
const TYPE: u32 = 4;
const FLAGS: u32 = 6;

/// What an event has to satisfy: each of these programs.
struct Condition<'f> {
    programs: Vec<Cow<'f, Program>>,
    /// Whether something was left out.
    wider: bool,
}

/// Compiles one filter for all events, or one each for new, update and destroy, into at most `longest` instructions.
pub(super) fn compile(filters: &[&Filter], longest: usize) -> SocketFilter {
    let conditions: Vec<_> = filters.iter().map(|filter| Condition::of(filter)).collect();
    let narrowed = || {
        // Whole conditions are left out until each filter fits into its share.
        let share = longest / 2 / filters.len().max(1);
        let narrowed: Vec<_> = filters.iter().map(|filter| Condition::shortened(filter, share)).collect();
        assemble(&narrowed, COARSEST, longest)
    };
    let fitting = LIMITS.into_iter().find_map(|limit| assemble(&conditions, limit, longest));
    fitting.or_else(narrowed).unwrap_or_else(accept_everything)
}

fn accept_everything() -> SocketFilter {
    let mut assembler = Assembler::default();
    assembler.push(Opcode::Return, u32::MAX);
    SocketFilter { exact: false, instructions: assembler.finish() }
}

impl<'f> Condition<'f> {
    fn of(filter: &'f Filter) -> Self {
        Self { programs: vec![Cow::Borrowed(filter.program())], wider: false }
    }

    /// The filter, without the conditions that make it longer than `share` instructions.
    fn shortened(filter: &'f Filter, share: usize) -> Self {
        let whole = Self::of(filter);
        if whole.length(share).is_some() {
            return whole;
        }
        let (conditions, negated) = filter.expression().conditions();
        let part = |condition| Self { programs: vec![Cow::Owned(Program::new(condition, negated))], wider: false };
        let with_length = |part: Self| Some((part.length(share)?, part));
        let mut parts: Vec<_> = conditions.iter().map(part).filter_map(with_length).collect();
        parts.sort_by_key(|(length, _)| *length);
        let (mut left, mut kept) = (share, Self { programs: Vec::new(), wider: true });
        for (length, part) in parts {
            if let Some(rest) = left.checked_sub(length) {
                left = rest;
                kept.programs.extend(part.programs);
            }
        }
        kept
    }

    /// The number of instructions, or `None` if it exceeds `longest`.
    fn length(&self, longest: usize) -> Option<usize> {
        assemble(core::slice::from_ref(self), COARSEST, longest).map(|program| program.instructions.len())
    }
}

/// Returns `None` if the program exceeds `longest` instructions. It gives up early: a filter may have any length.
fn assemble(conditions: &[Condition<'_>], limit: usize, longest: usize) -> Option<SocketFilter> {
    let mut assembler = Assembler::default();
    let accept = assembler.push(Opcode::Return, u32::MAX);
    let drop = assembler.push(Opcode::Return, 0);
    let mut emitter = Emitter::new(assembler, limit);
    let mut bodies = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let mut programs = condition.programs.iter().rev();
        let body = programs.try_fold(accept, |next, program| emitter.program(program, next, drop, longest))?;
        bodies.push(require_tuples(&mut emitter.assembler, body, accept));
    }
    match *bodies {
        [new, update, destroy] => dispatch(&mut emitter.assembler, [new, update, destroy], accept),
        [body] => dispatch(&mut emitter.assembler, [body; 3], accept),
        _ => accept,
    };
    let exact = !emitter.wider && conditions.iter().all(|condition| !condition.wider);
    let instructions = emitter.assembler.finish();
    (instructions.len() <= longest).then_some(SocketFilter { exact, instructions })
}

/// Accepts messages without tuples: the program cannot judge them.
fn require_tuples(assembler: &mut Assembler, body: Label, accept: Label) -> Label {
    let mut next = assembler.goto(body);
    for number in [CTA_TUPLE_REPLY, CTA_TUPLE_ORIG] {
        assembler.branch(Opcode::JumpIfEqual, 0, accept, next);
        next = load_attribute(assembler, number);
    }
    next
}

fn load_attribute(assembler: &mut Assembler, number: u16) -> Label {
    assembler.push(Opcode::LoadWord, NLATTR);
    assembler.push(Opcode::LoadIndexImmediate, number.into());
    assembler.push(Opcode::LoadImmediate, ATTRIBUTES)
}

/// Branches by the kind of event. An event of a new flow has the flag `CREATE`. Entries of a dump pass, since a datagram
/// contains many of them, and so does everything that is not an event of a flow.
fn dispatch(assembler: &mut Assembler, [new, update, destroy]: [Label; 3], accept: Label) -> Label {
    let kind = assembler.branch(Opcode::JumpIfAnySet, seen(Flags::CREATE.bits()), new, update);
    assembler.branch(Opcode::JumpIfAnySet, seen(Flags::MULTI.bits()), accept, kind);
    let changed = assembler.push(Opcode::LoadHalf, FLAGS);
    let other = assembler.branch(Opcode::JumpIfEqual, seen(MessageType::FLOW_DELETE.0), destroy, accept);
    assembler.branch(Opcode::JumpIfEqual, seen(MessageType::FLOW_NEW.0), changed, other);
    assembler.push(Opcode::LoadHalf, TYPE)
}

/// A field of the header as BPF reads it: the field is in host byte order, and BPF reads in network byte order.
const fn seen(field: u16) -> u32 {
    u16::from_be_bytes(field.to_ne_bytes()) as u32
}
