//! Compiles filters into programs.

use std::borrow::Cow;

use super::{
    SocketFilter,
    assembler::{Assembler, Label, Opcode},
    emitter::{ATTRIBUTES, Emitter, NLATTR},
};
use crate::{
    filter::{Filter, program::Program},
    wire::{CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, Flags, MessageType},
};

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
