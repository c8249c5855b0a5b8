//! An interpreter of classic BPF as it runs on a socket: `net/core/filter.c`.

use ctnetlink::filter::Instruction;

/// Checks a program as `bpf_check_classic` does: known operations, jumps that stay inside, a return at the end.
pub(crate) fn check(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    for (at, instruction) in program.iter().enumerate() {
        let furthest = match instruction.code {
            0x05 => instruction.value as usize,
            0x15 | 0x1d | 0x25 | 0x35 | 0x45 => instruction.jump_true.max(instruction.jump_false).into(),
            0x00 | 0x01 | 0x06 | 0x07 | 0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x54 => 0,
            0x02 | 0x61 if instruction.value < 16 => 0,
            code => panic!("unknown operation {code:#x}"),
        };
        assert!(at + 1 + furthest < program.len() || instruction.code == 0x06, "a jump out of the program at {at}");
    }
    assert_eq!(program.last().unwrap().code, 0x06);
}

/// Returns whether the message passes.
pub(crate) fn passes(program: &[Instruction], message: &[u8]) -> bool {
    run(program, message).unwrap_or(0) != 0
}

/// Returns `None` if a load runs past the end, which ends the program with 0.
fn run(program: &[Instruction], message: &[u8]) -> Option<u32> {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
    let mut memory = [0_u32; 16];
    loop {
        let Instruction { code, jump_true, jump_false, value } = program[at];
        at += 1;
        let mut jump = |condition| at += usize::from(if condition { jump_true } else { jump_false });
        match code {
            0x00 => a = value,
            0x01 => x = value,
            0x02 => memory[value as usize] = a,
            0x05 => at += value as usize,
            0x06 => return Some(value),
            0x07 => x = a,
            0x15 => jump(a == value),
            0x1d => jump(a == x),
            0x20 if value == 0xffff_f00c => a = attribute(message, a, x),
            0x20 if value == 0xffff_f010 => a = nested_attribute(message, a, x),
            0x20 => a = load(message, value, 4)?,
            0x25 => jump(a > value),
            0x28 => a = load(message, value, 2)?,
            0x30 => a = load(message, value, 1)?,
            0x35 => jump(a >= value),
            0x40 => a = load(message, x + value, 4)?,
            0x45 => jump(a & value != 0),
            0x48 => a = load(message, x + value, 2)?,
            0x50 => a = load(message, x + value, 1)?,
            0x54 => a &= value,
            0x61 => x = memory[value as usize],
            code => panic!("unknown operation {code:#x}"),
        }
    }
}

fn load(message: &[u8], at: u32, width: usize) -> Option<u32> {
    let bytes = message.get(at as usize..at as usize + width)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// `SKF_AD_NLATTR`: `nla_find` from an offset to the end of the message.
fn attribute(message: &[u8], from: u32, number: u32) -> u32 {
    match message.len().checked_sub(4) {
        Some(last) if from as usize <= last => find(message, from as usize, message.len(), number),
        _ => 0,
    }
}

/// `SKF_AD_NLATTR_NEST`: `nla_find_nested` in the attribute at an offset.
fn nested_attribute(message: &[u8], at: u32, number: u32) -> u32 {
    let Some(length) = header(message, at as usize).map(|(length, _)| length) else { return 0 };
    let end = at as usize + length;
    if end > message.len() { 0 } else { find(message, at as usize + 4, end, number) }
}

fn find(message: &[u8], mut at: usize, end: usize, wanted: u32) -> u32 {
    while at + 4 <= end {
        let Some((length, number)) = header(message, at) else { return 0 };
        if length < 4 || at + length > end {
            return 0;
        }
        if u32::from(number) == wanted {
            return at as u32;
        }
        at += length.next_multiple_of(4);
    }
    0
}

fn header(message: &[u8], at: usize) -> Option<(usize, u16)> {
    let [l0, l1, k0, k1] = *message.get(at..)?.first_chunk()?;
    Some((u16::from_ne_bytes([l0, l1]).into(), u16::from_ne_bytes([k0, k1]) & 0x3fff))
}
