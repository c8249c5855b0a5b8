//! The kernel's attribute numbers, under their C names.
//!
//! Source: `include/uapi/linux/netfilter/nfnetlink_conntrack.h` of Linux 6.18, and `include/uapi/linux/netlink.h` for
//! the extended acknowledgement.

/// Declares the attribute numbers of every nest under their C names, and the `AttributeSet` that each belongs to.
macro_rules! attributes {
    ( $( $(#[$nest_meta:meta])* $nest:ident { $( $name:ident = $number:literal, )* } )* ) => {
        /// A set of attribute numbers: the table to which the number in an attribute's header belongs.
        ///
        /// # Example
        ///
        /// ```
        /// use ctnetlink::wire::{AttributeSet, CTA_MARK};
        ///
        /// assert_eq!(AttributeSet::Flow.attribute_name(CTA_MARK), Some("CTA_MARK"));
        /// assert_eq!(AttributeSet::Tuple.attribute_name(CTA_MARK), None);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum AttributeSet {
            $( $(#[$nest_meta])* $nest, )*
        }

        impl AttributeSet {
            /// Every nest, by its number.
            pub(crate) const ALL: &'static [Self] = &[ $( Self::$nest, )* ];

            /// Returns the C name of an attribute of this nest, or `None` if the number is unknown.
            #[must_use]
            pub const fn attribute_name(self, number: u16) -> Option<&'static str> {
                match self {
                    $( Self::$nest => match number {
                        $( $number => Some(stringify!($name)), )*
                        _ => None,
                    }, )*
                }
            }
        }

        $( $(
            #[doc = concat!("`", stringify!($name), "`, an attribute of [`AttributeSet::", stringify!($nest), "`].")]
            pub const $name: u16 = $number;
        )* )*

        /// Every attribute name with its number, for the test that compares them with the kernel's headers.
        #[doc(hidden)]
        pub const ATTRIBUTES: &[(&str, u16)] = &[ $( $( (stringify!($name), $number), )* )* ];
    };
}

attributes! {
    /// Top level of a flow message (`enum ctattr_type`).
    Flow {
        CTA_TUPLE_ORIG = 1,
        CTA_TUPLE_REPLY = 2,
        CTA_STATUS = 3,
        CTA_PROTOINFO = 4,
        CTA_HELP = 5,
        CTA_NAT_SRC = 6,
        CTA_TIMEOUT = 7,
        CTA_MARK = 8,
        CTA_COUNTERS_ORIG = 9,
        CTA_COUNTERS_REPLY = 10,
        CTA_USE = 11,
        CTA_ID = 12,
        CTA_NAT_DST = 13,
        CTA_TUPLE_MASTER = 14,
        CTA_SEQ_ADJ_ORIG = 15,
        CTA_SEQ_ADJ_REPLY = 16,
        CTA_SECMARK = 17,
        CTA_ZONE = 18,
        CTA_SECCTX = 19,
        CTA_TIMESTAMP = 20,
        CTA_MARK_MASK = 21,
        CTA_LABELS = 22,
        CTA_LABELS_MASK = 23,
        CTA_SYNPROXY = 24,
        CTA_FILTER = 25,
        CTA_STATUS_MASK = 26,
        CTA_TIMESTAMP_EVENT = 27,
    }
    /// A tuple (`enum ctattr_tuple`).
    Tuple {
        CTA_TUPLE_IP = 1,
        CTA_TUPLE_PROTO = 2,
        CTA_TUPLE_ZONE = 3,
    }
    /// The addresses of a tuple (`enum ctattr_ip`).
    TupleIp {
        CTA_IP_V4_SRC = 1,
        CTA_IP_V4_DST = 2,
        CTA_IP_V6_SRC = 3,
        CTA_IP_V6_DST = 4,
    }
    /// The layer 4 part of a tuple (`enum ctattr_l4proto`).
    TupleProtocol {
        CTA_PROTO_NUM = 1,
        CTA_PROTO_SRC_PORT = 2,
        CTA_PROTO_DST_PORT = 3,
        CTA_PROTO_ICMP_ID = 4,
        CTA_PROTO_ICMP_TYPE = 5,
        CTA_PROTO_ICMP_CODE = 6,
        CTA_PROTO_ICMPV6_ID = 7,
        CTA_PROTO_ICMPV6_TYPE = 8,
        CTA_PROTO_ICMPV6_CODE = 9,
    }
    /// Protocol information (`enum ctattr_protoinfo`).
    ProtocolInfo {
        CTA_PROTOINFO_TCP = 1,
        CTA_PROTOINFO_DCCP = 2,
        CTA_PROTOINFO_SCTP = 3,
    }
    /// TCP (`enum ctattr_protoinfo_tcp`).
    Tcp {
        CTA_PROTOINFO_TCP_STATE = 1,
        CTA_PROTOINFO_TCP_WSCALE_ORIGINAL = 2,
        CTA_PROTOINFO_TCP_WSCALE_REPLY = 3,
        CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4,
        CTA_PROTOINFO_TCP_FLAGS_REPLY = 5,
    }
    /// DCCP (`enum ctattr_protoinfo_dccp`).
    Dccp {
        CTA_PROTOINFO_DCCP_STATE = 1,
        CTA_PROTOINFO_DCCP_ROLE = 2,
        CTA_PROTOINFO_DCCP_HANDSHAKE_SEQ = 3,
        CTA_PROTOINFO_DCCP_PAD = 4,
    }
    /// SCTP (`enum ctattr_protoinfo_sctp`).
    Sctp {
        CTA_PROTOINFO_SCTP_STATE = 1,
        CTA_PROTOINFO_SCTP_VTAG_ORIGINAL = 2,
        CTA_PROTOINFO_SCTP_VTAG_REPLY = 3,
    }
    /// Packets and bytes of one direction (`enum ctattr_counters`).
    Counters {
        CTA_COUNTERS_PACKETS = 1,
        CTA_COUNTERS_BYTES = 2,
        CTA_COUNTERS32_PACKETS = 3,
        CTA_COUNTERS32_BYTES = 4,
        CTA_COUNTERS_PAD = 5,
    }
    /// Begin and end of a flow (`enum ctattr_tstamp`).
    Timestamp {
        CTA_TIMESTAMP_START = 1,
        CTA_TIMESTAMP_STOP = 2,
        CTA_TIMESTAMP_PAD = 3,
    }
    /// A NAT range (`enum ctattr_nat`).
    Nat {
        CTA_NAT_V4_MINIP = 1,
        CTA_NAT_V4_MAXIP = 2,
        CTA_NAT_PROTO = 3,
        CTA_NAT_V6_MINIP = 4,
        CTA_NAT_V6_MAXIP = 5,
    }
    /// The ports of a NAT range (`enum ctattr_protonat`).
    NatProtocol {
        CTA_PROTONAT_PORT_MIN = 1,
        CTA_PROTONAT_PORT_MAX = 2,
    }
    /// Sequence adjustment of one direction (`enum ctattr_seqadj`).
    SequenceAdjustment {
        CTA_SEQADJ_CORRECTION_POS = 1,
        CTA_SEQADJ_OFFSET_BEFORE = 2,
        CTA_SEQADJ_OFFSET_AFTER = 3,
    }
    /// The SYN proxy's numbers (`enum ctattr_synproxy`).
    Synproxy {
        CTA_SYNPROXY_ISN = 1,
        CTA_SYNPROXY_ITS = 2,
        CTA_SYNPROXY_TSOFF = 3,
    }
    /// The helper (`enum ctattr_help`).
    Help {
        CTA_HELP_NAME = 1,
        CTA_HELP_INFO = 2,
    }
    /// The security context (`enum ctattr_secctx`).
    SecurityContext {
        CTA_SECCTX_NAME = 1,
    }
    /// Which parts of the tuples a filter compares (`enum ctattr_filter`).
    Filter {
        CTA_FILTER_ORIG_FLAGS = 1,
        CTA_FILTER_REPLY_FLAGS = 2,
    }
    /// Top level of an expectation message (`enum ctattr_expect`).
    Expectation {
        CTA_EXPECT_MASTER = 1,
        CTA_EXPECT_TUPLE = 2,
        CTA_EXPECT_MASK = 3,
        CTA_EXPECT_TIMEOUT = 4,
        CTA_EXPECT_ID = 5,
        CTA_EXPECT_HELP_NAME = 6,
        CTA_EXPECT_ZONE = 7,
        CTA_EXPECT_FLAGS = 8,
        CTA_EXPECT_CLASS = 9,
        CTA_EXPECT_NAT = 10,
        CTA_EXPECT_FN = 11,
    }
    /// The translation that an expectation carries (`enum ctattr_expect_nat`).
    ExpectationNat {
        CTA_EXPECT_NAT_DIR = 1,
        CTA_EXPECT_NAT_TUPLE = 2,
    }
    /// Statistics of one processor (`enum ctattr_stats_cpu`).
    CpuStatistics {
        CTA_STATS_SEARCHED = 1,
        CTA_STATS_FOUND = 2,
        CTA_STATS_NEW = 3,
        CTA_STATS_INVALID = 4,
        CTA_STATS_IGNORE = 5,
        CTA_STATS_DELETE = 6,
        CTA_STATS_DELETE_LIST = 7,
        CTA_STATS_INSERT = 8,
        CTA_STATS_INSERT_FAILED = 9,
        CTA_STATS_DROP = 10,
        CTA_STATS_EARLY_DROP = 11,
        CTA_STATS_ERROR = 12,
        CTA_STATS_SEARCH_RESTART = 13,
        CTA_STATS_CLASH_RESOLVE = 14,
        CTA_STATS_CHAIN_TOOLONG = 15,
    }
    /// Statistics of the whole table (`enum ctattr_stats_global`).
    TableStatistics {
        CTA_STATS_GLOBAL_ENTRIES = 1,
        CTA_STATS_GLOBAL_MAX_ENTRIES = 2,
    }
    /// Expectation statistics of one processor (`enum ctattr_expect_stats`).
    ExpectationStatistics {
        CTA_STATS_EXP_NEW = 1,
        CTA_STATS_EXP_CREATE = 2,
        CTA_STATS_EXP_DELETE = 3,
    }
    /// The extended acknowledgement (`enum nlmsgerr_attrs`).
    Acknowledgement {
        NLMSGERR_ATTR_MSG = 1,
        NLMSGERR_ATTR_OFFS = 2,
        NLMSGERR_ATTR_COOKIE = 3,
        NLMSGERR_ATTR_POLICY = 4,
        NLMSGERR_ATTR_MISS_TYPE = 5,
        NLMSGERR_ATTR_MISS_NEST = 6,
    }
}

impl AttributeSet {
    /// Returns the nest that an attribute of this nest contains, or `None` if it contains a value.
    pub(crate) const fn child(self, number: u16) -> Option<Self> {
        Some(match (self, number) {
            (Self::Flow, CTA_TUPLE_ORIG | CTA_TUPLE_REPLY | CTA_TUPLE_MASTER)
            | (Self::Expectation, CTA_EXPECT_MASTER | CTA_EXPECT_TUPLE | CTA_EXPECT_MASK)
            | (Self::ExpectationNat, CTA_EXPECT_NAT_TUPLE) => Self::Tuple,
            (Self::Flow, CTA_PROTOINFO) => Self::ProtocolInfo,
            (Self::Flow, CTA_HELP) => Self::Help,
            (Self::Flow, CTA_NAT_SRC | CTA_NAT_DST) => Self::Nat,
            (Self::Flow, CTA_COUNTERS_ORIG | CTA_COUNTERS_REPLY) => Self::Counters,
            (Self::Flow, CTA_SEQ_ADJ_ORIG | CTA_SEQ_ADJ_REPLY) => Self::SequenceAdjustment,
            (Self::Flow, CTA_SECCTX) => Self::SecurityContext,
            (Self::Flow, CTA_TIMESTAMP) => Self::Timestamp,
            (Self::Flow, CTA_SYNPROXY) => Self::Synproxy,
            (Self::Flow, CTA_FILTER) => Self::Filter,
            (Self::Tuple, CTA_TUPLE_IP) => Self::TupleIp,
            (Self::Tuple, CTA_TUPLE_PROTO) => Self::TupleProtocol,
            (Self::ProtocolInfo, CTA_PROTOINFO_TCP) => Self::Tcp,
            (Self::ProtocolInfo, CTA_PROTOINFO_DCCP) => Self::Dccp,
            (Self::ProtocolInfo, CTA_PROTOINFO_SCTP) => Self::Sctp,
            (Self::Nat, CTA_NAT_PROTO) => Self::NatProtocol,
            (Self::Expectation, CTA_EXPECT_NAT) => Self::ExpectationNat,
            _ => return None,
        })
    }
}
