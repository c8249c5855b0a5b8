//! Filter → program.

use super::{
    SocketFilter,
    assembler::{Assembler, Label, Operation},
    emitter::{ATTRIBUTES, Emitter, NLATTR},
};
use crate::{
    filter::{Filter, lower::Lowered},
    wire::{CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, Flags, MessageType},
};

/// Into how many ranges a set is broken up, from exact to coarse, until the program fits.
const LIMITS: [usize; 4] = [usize::MAX, 512, 64, COARSEST];
const COARSEST: usize = 8;

/// Offsets in `struct nlmsghdr`.
const TYPE: u32 = 4;
const FLAGS: u32 = 6;

/// A program of at most `longest` instructions for one filter, or for one filter each for new, update and destroy.
pub(super) fn compile(filters: &[&Filter], longest: usize) -> SocketFilter {
    let fits = |program: &SocketFilter| program.instructions.len() <= longest;
    let conditions: Vec<_> = filters.iter().map(|filter| Lowered::new(&filter.expression)).collect();
    let fitting = LIMITS.into_iter().map(|limit| program(&conditions, limit)).find(fits);
    fitting.unwrap_or_else(|| {
        // Whole conditions have to go, until each program takes no more than its share.
        let share = longest / 2 / conditions.len().max(1);
        let narrowed: Vec<_> = conditions.into_iter().map(|condition| shortened(condition, share)).collect();
        let coarsest = program(&narrowed, COARSEST);
        let all = || program(&[Lowered::Undecided], COARSEST);
        if fits(&coarsest) { coarsest } else { all() }
    })
}

/// The condition without those parts that make it longer than `share` instructions; wider, if any.
fn shortened(condition: Lowered<'_>, share: usize) -> Lowered<'_> {
    if length(&condition) <= share {
        return condition;
    }
    let Lowered::All(parts) = condition else { return Lowered::Undecided };
    let mut parts: Vec<_> = parts.into_iter().map(|part| (length(&part), part)).collect();
    parts.sort_by_key(|(length, _)| *length);
    let mut left = share;
    let mut kept = vec![Lowered::Undecided];
    for (length, part) in parts {
        if let Some(rest) = left.checked_sub(length) {
            left = rest;
            kept.push(part);
        }
    }
    Lowered::All(kept)
}

fn length(condition: &Lowered<'_>) -> usize {
    program(core::slice::from_ref(condition), COARSEST).instructions.len()
}

fn program(conditions: &[Lowered<'_>], limit: usize) -> SocketFilter {
    let mut assembler = Assembler::default();
    let accept = assembler.push(Operation::Return, u32::MAX);
    let drop = assembler.push(Operation::Return, 0);
    let mut emitter = Emitter::new(assembler, limit);
    let bodies: Vec<_> = conditions
        .iter()
        .map(|condition| {
            let body = emitter.condition(condition, accept, drop);
            require_tuples(&mut emitter.assembler, body, accept)
        })
        .collect();
    match *bodies {
        [new, update, destroy] => dispatch(&mut emitter.assembler, [new, update, destroy], accept),
        [body] => dispatch(&mut emitter.assembler, [body; 3], accept),
        _ => accept,
    };
    SocketFilter { exact: !emitter.wider, instructions: emitter.assembler.finish() }
}

/// A message in which the tuples cannot be found is none that this program can judge.
fn require_tuples(assembler: &mut Assembler, body: Label, accept: Label) -> Label {
    let mut next = assembler.goto(body);
    for number in [CTA_TUPLE_REPLY, CTA_TUPLE_ORIG] {
        assembler.branch(Operation::JumpIfEqual, 0, accept, next);
        next = load_attribute(assembler, number);
    }
    next
}

fn load_attribute(assembler: &mut Assembler, number: u16) -> Label {
    assembler.push(Operation::LoadWord, NLATTR);
    assembler.push(Operation::LoadIndexImmediate, number.into());
    assembler.push(Operation::LoadImmediate, ATTRIBUTES)
}

/// Tells the kinds of events apart: a new flow is one that was to be created. Entries of a dump, which come many to a
/// datagram, and whatever else there is, pass.
fn dispatch(assembler: &mut Assembler, [new, update, destroy]: [Label; 3], accept: Label) -> Label {
    let kind = assembler.branch(Operation::JumpIfAnySet, seen(Flags::CREATE.bits()), new, update);
    assembler.branch(Operation::JumpIfAnySet, seen(Flags::MULTI.bits()), accept, kind);
    let changed = assembler.push(Operation::LoadHalf, FLAGS);
    let other = assembler.branch(Operation::JumpIfEqual, seen(MessageType::FLOW_DELETE.0), destroy, accept);
    assembler.branch(Operation::JumpIfEqual, seen(MessageType::FLOW_NEW.0), changed, other);
    assembler.push(Operation::LoadHalf, TYPE)
}

/// A header's field, which is in the order of the host, as BPF sees it, which reads in network order.
const fn seen(field: u16) -> u32 {
    u16::from_be_bytes(field.to_ne_bytes()) as u32
}
