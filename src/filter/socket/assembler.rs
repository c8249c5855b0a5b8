//! Writes instructions from the last to the first.
//!
//! Classic BPF only jumps forward, and a conditional jump skips at most 255 instructions. Writing backward, every target
//! exists when a jump to it is written, so the distance is known. If a target is too far, an unconditional jump, which
//! reaches any distance, is placed right after the conditional one.

/// An instruction of classic BPF, `struct sock_filter`.
///
/// # Example
///
/// ```
/// use ctnetlink::{Filter, filter::SocketFilter};
///
/// let program = SocketFilter::new(&Filter::everything());
/// let last = program.instructions().last().unwrap();
/// assert_eq!((last.code, last.value), (0x06, u32::MAX)); // Returns the length to keep: everything.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the kernel's layout")]
pub struct Instruction {
    /// The operation, with the size and the source of its operand.
    pub code: u16,
    /// The number of instructions to skip if the condition holds.
    pub jump_true: u8,
    /// The number of instructions to skip if it does not hold.
    pub jump_false: u8,
    /// The operand `k`.
    pub value: u32,
}

/// An operation on the accumulator `A`, the index `X` and the scratch word `M[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Opcode {
    LoadImmediate = 0x00,
    LoadIndexImmediate = 0x01,
    Store = 0x02,
    Jump = 0x05,
    Return = 0x06,
    CopyToIndex = 0x07,
    JumpIfEqual = 0x15,
    JumpIfEqualIndex = 0x1d,
    LoadWord = 0x20,
    JumpIfGreater = 0x25,
    LoadHalf = 0x28,
    LoadByte = 0x30,
    JumpIfAtLeast = 0x35,
    LoadWordIndexed = 0x40,
    JumpIfAnySet = 0x45,
    LoadHalfIndexed = 0x48,
    LoadByteIndexed = 0x50,
    And = 0x54,
    LoadIndexScratch = 0x61,
}

/// A place in the program, as the number of instructions from there to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program under construction, last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// Unconditional jumps to labels that are too far for a condition: the target and the place of the jump. Only those
    /// within reach of the next instruction are kept.
    relays: Vec<(Label, Label)>,
}

impl Assembler {
    /// Returns the program in the order in which it runs.
    pub(super) fn finish(self) -> Vec<Instruction> {
        let mut instructions = self.reversed;
        instructions.reverse();
        instructions
    }

    /// The number of instructions so far.
    pub(super) fn length(&self) -> usize {
        self.reversed.len()
    }

    /// The instruction that was written last, and runs next.
    pub(super) fn here(&self) -> Label {
        Label(self.reversed.len())
    }

    /// Writes an instruction that runs before the one written last.
    pub(super) fn push(&mut self, operation: Opcode, value: u32) -> Label {
        self.write(operation, value, 0, 0)
    }

    /// Continues at `label`.
    pub(super) fn goto(&mut self, label: Label) -> Label {
        if label == self.here() { label } else { self.push(Opcode::Jump, self.distance(label) as u32) }
    }

    /// Continues at one label or the other.
    pub(super) fn branch(&mut self, condition: Opcode, value: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return self.goto(yes);
        }
        let yes = self.near(yes);
        let no = self.near(no);
        // `near` leaves room for the jump that the second call may have inserted.
        let jump = |label| u8::try_from(self.distance(label)).unwrap_or(u8::MAX);
        let (jump_true, jump_false) = (jump(yes), jump(no));
        self.write(condition, value, jump_true, jump_false)
    }

    /// Returns the label, or that of a jump to it if the label is too far for a condition.
    fn near(&mut self, label: Label) -> Label {
        const REACH: usize = u8::MAX as usize - 1;
        if self.distance(label) <= REACH {
            return label;
        }
        let known = self.relays.iter().find(|(target, relay)| *target == label && self.distance(*relay) <= REACH);
        if let Some((_, relay)) = known {
            return *relay;
        }
        let relay = self.push(Opcode::Jump, self.distance(label) as u32);
        // Dropping the others keeps the search above short.
        let length = self.reversed.len();
        self.relays.retain(|(_, relay)| length - relay.0 <= REACH);
        self.relays.push((label, relay));
        relay
    }

    /// The number of instructions that an instruction written now would have to skip.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len().saturating_sub(label.0)
    }

    fn write(&mut self, operation: Opcode, value: u32, jump_true: u8, jump_false: u8) -> Label {
        self.reversed.push(Instruction { code: operation as u16, jump_true, jump_false, value });
        self.here()
    }
}
