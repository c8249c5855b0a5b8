//! A flow: one entry of the connection tracking table.

mod attributes;
mod decode;
mod encode;
mod getters;
mod view;

pub(crate) use attributes::{flow_attributes, last};
pub use getters::AnyFlow;
pub(crate) use getters::{Sealed, Shape, flow_getters, inherent_attributes, inherent_getters};
pub use view::FlowRef;

use super::{
    Counters, Family, FlowTimes, Helper, HelperRef, Labels, Protocol, ProtocolInfo, SequenceAdjustment, Status,
    Synproxy, Timestamp, Tuple,
};

/// Emits the struct, its constructor and its accessors.
macro_rules! define_flow {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        /// One entry of the connection tracking table, or the part of it that an event contains.
        ///
        /// A field is `None` if the message did not carry the attribute. The kernel sends them as follows:
        ///
        /// | | dump, get | new | update | destroy |
        /// |---|---|---|---|---|
        /// | tuples, zone, status, id | ✓ | ✓ | ✓ | ✓ |
        /// | timeout | ✓ unless offloaded | ✓ | ✓ | if not 0 |
        /// | mark | ✓ | if not 0 | if not 0 or changed | if not 0 |
        /// | protocol information | ✓ unless offloaded | ✓ | if changed | state only |
        /// | counters | if accounting is on | | | if accounting is on |
        /// | times, if timestamps are on | start | | | start and stop |
        /// | event time, if timestamps are on | | Linux 6.14 | Linux 6.14 | Linux 6.14 |
        /// | helper | ✓ | ✓ | ✓ | |
        /// | labels | if not empty | if changed | if changed | |
        /// | security context | ✓ | if there is a secmark | if there is a secmark or it changed | |
        /// | master | of an expected flow | of an expected flow | | |
        /// | sequence adjustment | if adjusted | | if changed | |
        /// | SYN proxy | ✓ | | if changed | |
        /// | use count | ✓ | | | |
        ///
        /// Source: `net/netfilter/nf_conntrack_netlink.c` of Linux 6.18, `ctnetlink_fill_info` and
        /// `ctnetlink_conntrack_event`.
        ///
        /// # Example
        ///
        /// ```
        /// use ctnetlink::{Flow, Status, Tuple};
        ///
        /// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
        /// let mut flow = Flow::new(original, Tuple::udp("10.0.0.2:53".parse()?, "192.0.2.1:1024".parse()?));
        /// flow.status = Some(Status::SEEN_REPLY);
        /// let seen_as = flow.snat().expect("replies are sent to another address");
        /// assert_eq!(seen_as.to_string(), "192.0.2.1:1024");
        /// assert_eq!(flow.timeout(), None); // unknown, which is not 0
        /// # Ok::<(), std::net::AddrParseError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize))]
        #[non_exhaustive]
        pub struct Flow {
            /// The tuple of packets from the initiator, as they arrive (`CTA_TUPLE_ORIG`).
            pub original: Tuple,
            /// The tuple of packets from the responder, as they arrive (`CTA_TUPLE_REPLY`). If it is not the inverse of
            /// [`original`](Self::original), the flow is translated.
            pub reply: Tuple,
            $(
                $(#[$meta])*
                #[doc = concat!("\n\nAttribute `", stringify!($number), "`.")]
                #[cfg_attr(feature = "serde", serde(default))]
                pub $name: Option<$owned>,
            )*
        }

        #[cfg(feature = "serde")]
        crate::serde::serialize_present!(Flow { original, reply; $( $name ),* });

        impl Flow {
            /// Creates a flow of two tuples without any other attribute.
            #[must_use]
            pub const fn new(original: Tuple, reply: Tuple) -> Self {
                Self { original, reply, $( $name: None, )* }
            }
        }

        /// # Attributes
        ///
        /// Each has the name of its field. [`FlowRef`] and [`AnyFlow`] have the same methods.
        impl Flow {
            /// Returns the tuple of packets from the initiator.
            #[must_use]
            pub const fn original(&self) -> Tuple {
                self.original
            }

            /// Returns the tuple of packets from the responder.
            #[must_use]
            pub const fn reply(&self) -> Tuple {
                self.reply
            }

            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<last!($owned $(, $lent)?)> {
                    self.$name.as_ref().map(last!(value |value| *value $(, $lend)?))
                }
            )*
        }
    };
}

flow_attributes!(define_flow);

impl Flow {
    /// Returns the layer 3 family of the original tuple.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.original.family()
    }

    /// Returns the layer 4 protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.original.protocol
    }
}
