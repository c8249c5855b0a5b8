//! A filter in the form in which it is evaluated: a list of comparisons with jumps.

use std::sync::Arc;

use super::expression::{Connective, Expression, Term, Visit};

/// The comparisons of a filter in the order in which they are made.
///
/// Each names the step that follows if it holds and the step that follows if it fails: a later comparison,
/// [`Program::ACCEPT`] or [`Program::REJECT`]. The invariant is that jumps only go forward, so every evaluation ends. It
/// needs no stack, so a filter may be nested to any depth. Read from its end, the same list becomes a program for
/// sockets.
#[derive(Clone, Debug)]
pub(super) struct Program {
    start: usize,
    steps: Vec<Comparison>,
}

/// A comparison and the steps that may follow it.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) term: Arc<Term>,
    /// Whether the filter requires that the term does not hold.
    pub(super) negated: bool,
    /// The next step if the term holds.
    pub(super) holds: usize,
    /// The next step if it does not hold.
    pub(super) fails: usize,
}

/// The group whose parts are being written, and the steps that follow the group.
struct Frame {
    all: bool,
    satisfied: usize,
    violated: usize,
}

impl Frame {
    /// The steps that follow a part of the group if it is satisfied and if it is violated. `next` is the next part.
    const fn targets(&self, next: usize) -> (usize, usize) {
        if self.all { (next, self.violated) } else { (self.satisfied, next) }
    }
}

impl Program {
    /// Beyond every step: the flow matches.
    pub(super) const ACCEPT: usize = usize::MAX;
    /// Beyond every step: the flow does not match.
    pub(super) const REJECT: usize = usize::MAX - 1;

    /// Writes the program from its last step to its first: when a jump is written, its target is known.
    pub(super) fn new(expression: &Expression, mut negated: bool) -> Self {
        let mut reversed: Vec<Comparison> = Vec::new();
        let mut outer = Vec::new();
        let mut frame = Frame { all: true, satisfied: Self::ACCEPT, violated: Self::REJECT };
        // Until all steps exist, they are counted from the end.
        let mut next = Self::ACCEPT;
        for visit in expression.walk_back() {
            let (satisfied, violated) = frame.targets(next);
            match visit {
                Visit::Enter(Connective::Not) | Visit::Leave(Connective::Not) => negated = !negated,
                Visit::Enter(connective) => {
                    let all = (connective == Connective::All) != negated;
                    outer.push(core::mem::replace(&mut frame, Frame { all, satisfied, violated }));
                    next = if all { satisfied } else { violated };
                }
                Visit::Leave(_) => frame = outer.pop().unwrap_or(frame),
                Visit::Constant(holds) => next = if holds == negated { violated } else { satisfied },
                Visit::Term(term) => {
                    let (holds, fails) = if negated { (violated, satisfied) } else { (satisfied, violated) };
                    reversed.push(Comparison { term: Arc::clone(term), negated, holds, fails });
                    next = reversed.len() - 1;
                }
            }
        }
        let count = reversed.len();
        let forward = |target: usize| if target < count { count - 1 - target } else { target };
        reversed.reverse();
        for step in &mut reversed {
            (step.holds, step.fails) = (forward(step.holds), forward(step.fails));
        }
        Self { start: forward(next), steps: reversed }
    }

    pub(super) const fn start(&self) -> usize {
        self.start
    }

    pub(super) fn steps(&self) -> &[Comparison] {
        &self.steps
    }
}
