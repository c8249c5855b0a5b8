//! A filter in the form in which it is evaluated: a list of comparisons with jumps.

use std::sync::Arc;

use super::expression::{Connective, Expression, Term, Visit};

/// The comparisons of a filter in the order in which they are made.
///
/// Each says where to go on if it holds and if it does not: at a later step, or at [`Program::ACCEPT`] or
/// [`Program::REJECT`]. That a jump never goes back is the invariant by which every evaluation ends. Since nothing
/// recurses, a filter may be nested to any depth; and the same list, from its end, becomes a program for sockets.
#[derive(Clone, Debug)]
pub(super) struct Program {
    start: usize,
    steps: Vec<Step>,
}

/// One comparison and what follows it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) term: Arc<Term>,
    /// Whether the filter asks that the term does not hold.
    pub(super) negated: bool,
    /// Where to go on if the term holds.
    pub(super) holds: usize,
    /// Where to go on if it does not.
    pub(super) fails: usize,
}

/// The group whose parts are being written: where to go on behind it.
struct Frame {
    all: bool,
    satisfied: usize,
    violated: usize,
}

impl Frame {
    /// Where a part goes on if it is satisfied and if it is violated. `next` is the part behind it.
    const fn targets(&self, next: usize) -> (usize, usize) {
        if self.all { (next, self.violated) } else { (self.satisfied, next) }
    }
}

impl Program {
    /// Past every step: the flow matches.
    pub(super) const ACCEPT: usize = usize::MAX;
    /// Past every step: the flow does not match.
    pub(super) const REJECT: usize = usize::MAX - 1;

    /// Writes the program from its last step to its first, so that every target is known when a jump is written.
    pub(super) fn new(expression: &Expression, mut negated: bool) -> Self {
        let mut reversed: Vec<Step> = Vec::new();
        let mut outer = Vec::new();
        let mut frame = Frame { all: true, satisfied: Self::ACCEPT, violated: Self::REJECT };
        // Steps are counted from the end until all are there.
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
                    reversed.push(Step { term: Arc::clone(term), negated, holds, fails });
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

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
