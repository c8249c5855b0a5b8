//! The options that each command accepts.

use super::{
    Arguments, Table,
    options::{Command, Field, Parameter},
};
use crate::failure::{Failure, Outcome};

/// Whether a command accepts an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Legality {
    Illegal,
    Mandatory,
    Optional,
    /// One of two pairs must be complete.
    Paired,
}

/// The options of [`Parameter::ALL`] that a command accepts, one bit each.
#[derive(Clone, Copy, Debug)]
struct Row {
    allowed: u64,
    mandatory: u64,
    is_paired: bool,
}

impl Row {
    /// Reads one digit for each option: 0 illegal, 1 mandatory, 2 optional, 3 one of two pairs.
    const fn new(digits: &str) -> Self {
        let mut row = Self { allowed: 0, mandatory: 0, is_paired: false };
        let (mut digits, mut option) = (digits.as_bytes(), 1);
        while let [digit, rest @ ..] = digits {
            match *digit {
                b'1' => row.mandatory |= option,
                b'3' => row.is_paired = true,
                _ => {}
            }
            if *digit != b'0' {
                row.allowed |= option;
            }
            // Skips the space after the digit.
            digits = if let [_, rest @ ..] = rest { rest } else { rest };
            option <<= 1;
        }
        row
    }

    /// Refuses the first option that is illegal or missing.
    fn check(self, given: u64) -> Outcome {
        let place = (given & !self.allowed | self.mandatory & !given).trailing_zeros();
        match Parameter::ALL.get(place as usize) {
            None => Ok(()),
            Some(parameter) if given >> place & 1 == 1 => Err(illegal(parameter.name())),
            Some(parameter) => Err(missing(parameter.name())),
        }
    }
}

/// The options that a command accepts.
///
/// In addition to conntrack(8): zones with `-G` and `-U`, which flows in zones need, a helper with `-A` and `-I`, and a
/// family with `-C expect`.
#[rustfmt::skip]
fn parameters(command: Command, table: Table) -> Row {
    match (command, table) {
        //                                                                    s d r q p t u z e [ ] { } a m i f n g o c b j w l < > ( ) M F X H
        (Command::List, Table::Conntrack) =>              const { Row::new("2 2 2 2 2 0 2 2 0 0 0 2 2 2 2 0 2 2 2 2 2 0 2 2 2 0 0 2 2 2 2 2 0") },
        (Command::List, Table::Dying | Table::Unconfirmed) =>
                                                          const { Row::new("2 2 2 2 2 0 2 2 0 0 0 2 2 2 2 0 2 2 2 2 2 0 2 2 2 0 0 2 2 2 2 2 0") },
        (Command::Create | Command::Add, Table::Conntrack) =>
                                                          const { Row::new("3 3 3 3 1 1 2 0 0 0 0 0 0 2 2 0 0 2 2 0 0 0 0 2 0 2 0 2 2 2 0 2 2") },
        (Command::Update, Table::Conntrack) =>            const { Row::new("2 2 2 2 2 2 2 0 0 0 0 2 2 2 2 2 2 2 2 2 0 0 0 2 2 2 2 2 2 2 2 2 0") },
        (Command::Delete, Table::Conntrack) =>            const { Row::new("2 2 2 2 2 2 2 0 0 0 0 2 2 2 2 2 2 2 2 2 0 0 0 2 2 0 0 2 2 2 2 2 0") },
        (Command::Get, Table::Conntrack) =>               const { Row::new("3 3 3 3 1 0 0 0 0 0 0 0 0 2 0 2 0 0 0 2 0 0 0 2 2 0 0 2 2 2 0 2 0") },
        (Command::Flush, Table::Conntrack) =>             const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Event, Table::Conntrack) =>             const { Row::new("2 2 2 2 2 0 0 0 2 0 0 2 2 2 2 0 2 2 2 2 2 2 2 2 2 0 0 2 2 2 2 2 0") },
        (Command::List, Table::Expect) =>                 const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 2 0 0 2 0 0 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Create, Table::Expect) =>               const { Row::new("1 1 2 2 1 1 2 0 0 1 1 1 1 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Delete | Command::Get, Table::Expect) =>
                                                          const { Row::new("1 1 2 2 1 0 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Event, Table::Expect) =>                const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 2 0 2 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Count, Table::Expect) =>                const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0") },
        (Command::Help, _) =>                             const { Row::new("0 0 0 0 2 0 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0") },
        (Command::Load, _) =>                             const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 2 0") },
        _ =>                                              const { Row::new("0 0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2 0") },
    }
}

fn fields(field: Field, command: Command, table: Table) -> Legality {
    use Field as F;
    use Legality::{Illegal, Mandatory, Optional, Paired};
    let is_expectation = table == Table::Expect;
    match (field, command) {
        (_, Command::Flush | Command::Count | Command::Statistics | Command::Load | Command::Version) => Illegal,
        (_, Command::Help) => Optional,
        (_, Command::List | Command::Event) if is_expectation => Illegal,
        (F::SourcePort | F::DestinationPort | F::SourceKey | F::DestinationKey, _) if is_expectation => Mandatory,
        // An expectation has no reply.
        (
            F::ReplySourcePort | F::ReplyDestinationPort | F::ReplySourceKey | F::ReplyDestinationKey,
            Command::Create,
        ) if is_expectation => Illegal,
        (
            F::MaskSourcePort
            | F::MaskDestinationPort
            | F::TupleSourcePort
            | F::TupleDestinationPort
            | F::MaskSourceKey
            | F::MaskDestinationKey
            | F::TupleSourceKey
            | F::TupleDestinationKey,
            _,
        ) => match command {
            Command::Create if is_expectation => Mandatory,
            _ => Illegal,
        },
        (_, _) if is_expectation => Optional,
        (
            F::SourcePort
            | F::DestinationPort
            | F::ReplySourcePort
            | F::ReplyDestinationPort
            | F::SourceKey
            | F::DestinationKey
            | F::ReplySourceKey
            | F::ReplyDestinationKey,
            Command::Create | Command::Add | Command::Get,
        ) => Paired,
        (F::IcmpType | F::IcmpCode | F::Icmpv6Type | F::Icmpv6Code, Command::Create | Command::Add | Command::Get)
        | (F::State | F::OriginalTag | F::ReplyTag | F::Role, Command::Create | Command::Add) => Mandatory,
        // Legal with `-D`, unlike in conntrack(8), because `-D -o save` prints them.
        (F::OriginalTag | F::ReplyTag | F::Role, Command::List | Command::Event)
        | (F::Role, Command::Update | Command::Get) => Illegal,
        _ => Optional,
    }
}

/// Refuses a command with an illegal option or without a mandatory one.
pub fn check(arguments: &Arguments) -> Outcome {
    let (command, table) = (arguments.command, arguments.table);
    check_table(command, table)?;
    let row = parameters(command, table);
    row.check(arguments.parameters)?;
    if row.is_paired {
        let has = |parameter| (arguments.has(parameter), Parameter::name(parameter));
        check_pairs(
            [has(Parameter::Source), has(Parameter::Destination)],
            [has(Parameter::ReplySource), has(Parameter::ReplyDestination)],
        )?;
    }
    check_fields(arguments)
}

fn check_table(command: Command, table: Table) -> Outcome {
    match (command, table) {
        (Command::Update | Command::Add, Table::Expect) => {
            Err(Failure::usage(format_args!("Can't do --{} on expectations", command.name())))
        }
        (Command::List, _) | (_, Table::Conntrack | Table::Expect) => Ok(()),
        (_, Table::Dying | Table::Unconfirmed) => {
            Err(Failure::usage("Can't do that command with tables `dying' and `unconfirmed'"))
        }
    }
}

fn check_fields(arguments: &Arguments) -> Outcome {
    let Some(protocol) = arguments.protocol else { return Ok(()) };
    let of_protocol = Field::ALL.iter().copied().filter(|field| field.is_of(protocol));
    for field in of_protocol {
        let legality = fields(field, arguments.command, arguments.table);
        check_one(legality, arguments.has_field(field), field.name())?;
    }
    let is_paired = |field| fields(field, arguments.command, arguments.table) == Legality::Paired;
    let pairs = if protocol.has_ports() && is_paired(Field::SourcePort) {
        [Field::SourcePort, Field::DestinationPort, Field::ReplySourcePort, Field::ReplyDestinationPort]
    } else if Field::SourceKey.is_of(protocol) && is_paired(Field::SourceKey) {
        [Field::SourceKey, Field::DestinationKey, Field::ReplySourceKey, Field::ReplyDestinationKey]
    } else {
        return Ok(());
    };
    let [source, destination, reply_source, reply_destination] =
        pairs.map(|field| (arguments.has_field(field), field.name()));
    check_pairs([source, destination], [reply_source, reply_destination])
}

fn check_one(legality: Legality, is_given: bool, name: &str) -> Outcome {
    match (legality, is_given) {
        (Legality::Illegal, true) => Err(illegal(name)),
        (Legality::Mandatory, false) => Err(missing(name)),
        _ => Ok(()),
    }
}

fn illegal(name: &str) -> Failure {
    Failure::usage(format_args!("Illegal option `--{name}' with this command"))
}

fn missing(name: &str) -> Failure {
    Failure::usage(format_args!("You need to supply the `--{name}' option for this command"))
}

/// Requires one complete pair. The message names the pair that was begun.
fn check_pairs(original: [(bool, &str); 2], reply: [(bool, &str); 2]) -> Outcome {
    let is_whole = |pair: [(bool, &str); 2]| pair.iter().all(|(is_given, _)| *is_given);
    let is_begun = |pair: [(bool, &str); 2]| pair.iter().any(|(is_given, _)| *is_given);
    if is_whole(original) || is_whole(reply) {
        return Ok(());
    }
    let [(_, first), (_, second)] = if is_begun(reply) && !is_begun(original) { reply } else { original };
    Err(Failure::usage(format_args!("you have to specify `--{first}' and `--{second}'")))
}
