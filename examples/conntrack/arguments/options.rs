//! The names of commands and options.

use ctnetlink::Protocol;

/// Declares an enum of options with their letters and long spellings.
macro_rules! options {
    ($(#[$meta:meta])* $name:ident { $( $variant:ident: $argument:ident, $($letter:literal)?, $first:literal $($more:literal)*; )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $variant, )* }

        #[allow(dead_code)] // Not every kind of option is asked for all of these.
        impl $name {
            /// Every option, in the order of the legality tables.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// Every long spelling.
            pub const LONG: &'static [(&'static str, Self)] =
                &[ $( ($first, Self::$variant), $( ($more, Self::$variant), )* )* ];

            /// The name in messages.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $first, )* }
            }

            pub const fn argument(self) -> Argument {
                match self { $( Self::$variant => Argument::$argument, )* }
            }

            /// Finds an option by a long spelling.
            pub fn of_name(name: &str) -> Option<Self> {
                match name {
                    $( $first $( | $more )* => Some(Self::$variant), )*
                    _ => None,
                }
            }

            pub const fn of_letter(letter: char) -> Option<Self> {
                match letter {
                    $( $( $letter => Some(Self::$variant), )? )*
                    _ => None,
                }
            }
        }
    };
}

/// Whether an option has an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    Never,
    Always,
    /// The next word, if it is not an option.
    Perhaps,
    /// The name of a table: the next word, if it is not an option.
    Table,
    /// After an equals sign only.
    Attached,
}

options! {
    /// A command.
    Command {
        List: Table, 'L', "dump";
        Get: Table, 'G', "get";
        Delete: Table, 'D', "delete";
        Create: Table, 'I', "create";
        Add: Table, 'A', "add";
        Update: Table, 'U', "update";
        Event: Table, 'E', "event";
        Flush: Table, 'F', "flush";
        Count: Table, 'C', "count" "counter";
        Statistics: Table, 'S', "stats";
        Load: Always, 'R', "load-file";
        Version: Table, 'V', "version";
        Help: Table, 'h', "help";
    }
}

options! {
    /// An option that does not depend on the protocol.
    Parameter {
        Source: Always, 's', "src" "orig-src";
        Destination: Always, 'd', "dst" "orig-dst";
        ReplySource: Always, 'r', "reply-src";
        ReplyDestination: Always, 'q', "reply-dst";
        Protocol: Always, 'p', "protonum" "proto";
        Timeout: Always, 't', "timeout";
        Status: Always, 'u', "status";
        Zero: Never, 'z', "zero";
        EventMask: Always, 'e', "event-mask";
        TupleSource: Always, '[', "tuple-src";
        TupleDestination: Always, ']', "tuple-dst";
        MaskSource: Always, '{', "mask-src";
        MaskDestination: Always, '}', "mask-dst";
        NatRange: Always, 'a', "nat-range";
        Mark: Always, 'm', "mark";
        Id: Always, 'i', "id";
        Family: Always, 'f', "family";
        SourceNat: Perhaps, 'n', "src-nat";
        DestinationNat: Perhaps, 'g', "dst-nat";
        Output: Always, 'o', "output";
        SecurityMark: Always, 'c', "secmark";
        BufferSize: Always, 'b', "buffer-size";
        AnyNat: Perhaps, 'j', "any-nat";
        Zone: Always, 'w', "zone";
        Label: Always, 'l', "label";
        LabelAdd: Always, '<', "label-add";
        LabelDelete: Perhaps, '>', "label-del";
        OriginalZone: Always, '(', "orig-zone";
        ReplyZone: Always, ')', "reply-zone";
        LabelMap: Always, , "labelmap";
        Filter: Always, , "filter";
        Explain: Attached, , "explain";
        Helper: Always, , "helper";
    }
}

options! {
    /// An option that some protocols have.
    Field {
        SourcePort: Always, , "sport" "orig-port-src";
        DestinationPort: Always, , "dport" "orig-port-dst";
        ReplySourcePort: Always, , "reply-port-src";
        ReplyDestinationPort: Always, , "reply-port-dst";
        MaskSourcePort: Always, , "mask-port-src";
        MaskDestinationPort: Always, , "mask-port-dst";
        TupleSourcePort: Always, , "tuple-port-src";
        TupleDestinationPort: Always, , "tuple-port-dst";
        SourceKey: Always, , "srckey" "orig-key-src";
        DestinationKey: Always, , "dstkey" "orig-key-dst";
        ReplySourceKey: Always, , "reply-key-src";
        ReplyDestinationKey: Always, , "reply-key-dst";
        MaskSourceKey: Always, , "mask-key-src";
        MaskDestinationKey: Always, , "mask-key-dst";
        TupleSourceKey: Always, , "tuple-key-src";
        TupleDestinationKey: Always, , "tuple-key-dst";
        IcmpType: Always, , "icmp-type";
        IcmpCode: Always, , "icmp-code";
        IcmpId: Always, , "icmp-id";
        Icmpv6Type: Always, , "icmpv6-type";
        Icmpv6Code: Always, , "icmpv6-code";
        Icmpv6Id: Always, , "icmpv6-id";
        State: Always, , "state";
        OriginalTag: Always, , "orig-vtag";
        ReplyTag: Always, , "reply-vtag";
        Role: Always, , "role";
    }
}

/// Any option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Command(Command),
    Parameter(Parameter),
    Field(Field),
}

impl Opt {
    pub const fn argument(self) -> Argument {
        match self {
            Self::Command(command) => command.argument(),
            Self::Parameter(parameter) => parameter.argument(),
            Self::Field(field) => field.argument(),
        }
    }

    pub fn of_letter(letter: char) -> Option<Self> {
        let parameter = || Parameter::of_letter(letter).map(Self::Parameter);
        Command::of_letter(letter).map(Self::Command).or_else(parameter)
    }

    /// Finds an option by its long name. Options of a protocol are known after `-p` only.
    pub fn of_name(name: &str, protocol: Option<Protocol>) -> Option<Self> {
        let field = || Field::of_name(name).filter(|field| protocol.is_some_and(|protocol| field.is_of(protocol)));
        let parameter = || Parameter::of_name(name).map(Self::Parameter);
        let command = || Command::of_name(name).map(Self::Command);
        field().map(Self::Field).or_else(parameter).or_else(command)
    }

    /// Finds the only option whose long name begins with `name`.
    pub fn of_beginning(name: &str, protocol: Option<Protocol>) -> Option<Self> {
        let mut beginning = all_long(protocol).filter(|(known, _)| known.starts_with(name)).map(|(_, option)| option);
        let first = beginning.next()?;
        beginning.all(|option| option == first).then_some(first)
    }
}

fn all_long(protocol: Option<Protocol>) -> impl Iterator<Item = (&'static str, Opt)> {
    let fields = Field::LONG.iter().filter(move |(_, field)| protocol.is_some_and(|protocol| field.is_of(protocol)));
    let parameters = Parameter::LONG.iter().map(|(name, parameter)| (*name, Opt::Parameter(*parameter)));
    let commands = Command::LONG.iter().map(|(name, command)| (*name, Opt::Command(*command)));
    parameters.chain(commands).chain(fields.map(|(name, field)| (*name, Opt::Field(*field))))
}

impl Field {
    /// Whether the protocol has this option.
    pub fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Self::SourcePort
            | Self::DestinationPort
            | Self::ReplySourcePort
            | Self::ReplyDestinationPort
            | Self::MaskSourcePort
            | Self::MaskDestinationPort
            | Self::TupleSourcePort
            | Self::TupleDestinationPort => protocol.has_ports(),
            Self::SourceKey
            | Self::DestinationKey
            | Self::ReplySourceKey
            | Self::ReplyDestinationKey
            | Self::MaskSourceKey
            | Self::MaskDestinationKey
            | Self::TupleSourceKey
            | Self::TupleDestinationKey => protocol == Protocol::GRE,
            Self::IcmpType | Self::IcmpCode | Self::IcmpId => protocol == Protocol::ICMP,
            Self::Icmpv6Type | Self::Icmpv6Code | Self::Icmpv6Id => protocol == Protocol::ICMPV6,
            Self::State => matches!(protocol, Protocol::TCP | Protocol::SCTP | Protocol::DCCP),
            Self::OriginalTag | Self::ReplyTag => protocol == Protocol::SCTP,
            Self::Role => protocol == Protocol::DCCP,
        }
    }
}
