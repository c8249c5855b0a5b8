//! Reading a flow, whatever holds it: the trait [`AnyFlow`] and the getters derived from attributes.

use core::time::Duration;

use super::{Flow, FlowRef, flow_attributes, last};
use crate::model::{
    Counters, DccpState, Direction, Endpoint, Family, FlowTimes, HelperRef, Labels, Protocol, ProtocolInfo, SctpState,
    SequenceAdjustment, Status, Synproxy, TcpState, Timestamp, Tuple, nat,
};

/// Passes the getters that follow from attributes to the macro `$emit`: provided methods of [`AnyFlow`], and inherent
/// methods of every type that implements it.
macro_rules! flow_getters {
    ($emit:ident $(, $($argument:tt)+)?) => { $emit! { [$($($argument)+)?]
        /// Returns the endpoint that the source is translated to, which is the destination of the responder's packets.
        /// `None` if the source is not translated.
        ///
        /// Source NAT is recognised by comparing the tuples. So it works for flows without status bits, and for ICMP,
        /// whose types differ between the tuples anyway.
        fn snat(&self) -> Option<Endpoint> {
            nat::snat(&AnyFlow::original(self), &AnyFlow::reply(self))
        }

        /// Returns the endpoint that the destination is translated to, which is the source of the responder's packets.
        /// `None` if the destination is not translated.
        fn dnat(&self) -> Option<Endpoint> {
            nat::dnat(&AnyFlow::original(self), &AnyFlow::reply(self))
        }

        /// Returns true if the source is translated: its address, its port, or the identifier of an ICMP query.
        fn is_snat(&self) -> bool {
            AnyFlow::snat(self).is_some()
        }

        /// Returns true if the destination is translated: its address or its port.
        fn is_dnat(&self) -> bool {
            AnyFlow::dnat(self).is_some()
        }

        /// Returns true if packets were seen in both directions. `None` if the status is unknown.
        fn has_seen_reply(&self) -> Option<bool> {
            AnyFlow::status(self).map(|status| status.contains(Status::SEEN_REPLY))
        }

        /// Returns true if the kernel keeps the flow when the table is full. `None` if the status is unknown.
        fn is_assured(&self) -> Option<bool> {
            AnyFlow::status(self).map(|status| status.contains(Status::ASSURED))
        }

        /// Returns true if a flow table or hardware forwards the flow past the tracker. `None` if the status is unknown.
        fn is_offloaded(&self) -> Option<bool> {
            AnyFlow::status(self).map(|status| status.intersects(Status::OFFLOAD | Status::HW_OFFLOAD))
        }

        /// Returns packets and bytes of both directions together. `None` without accounting.
        fn total_counters(&self) -> Option<Counters> {
            match (AnyFlow::counters_original(self), AnyFlow::counters_reply(self)) {
                (Some(original), Some(reply)) => Some(original + reply),
                (one, None) | (None, one) => one,
            }
        }

        /// Returns how long the flow has existed: from its begin to its end, or to `now`. `None` without timestamps.
        fn duration(&self, now: Timestamp) -> Option<Duration> {
            let times = AnyFlow::times(self)?;
            Some(times.stop.unwrap_or(now).since(times.start?))
        }

        /// Returns how long the flow has existed: from its begin to its end, or to the present by the clock of this
        /// process. `None` without timestamps.
        fn age(&self) -> Option<Duration> {
            let times = AnyFlow::times(self)?;
            Some(times.stop.unwrap_or_else(Timestamp::now).since(times.start?))
        }

        /// Returns the state of a TCP connection, if this is one and its state is known.
        fn tcp_state(&self) -> Option<TcpState> {
            AnyFlow::protocol_info(self)?.tcp()?.state
        }

        /// Returns the state of an SCTP association, if this is one and its state is known.
        fn sctp_state(&self) -> Option<SctpState> {
            AnyFlow::protocol_info(self)?.sctp()?.state
        }

        /// Returns the state of a DCCP connection, if this is one and its state is known.
        fn dccp_state(&self) -> Option<DccpState> {
            AnyFlow::protocol_info(self)?.dccp()?.state
        }

        /// Returns the name of the helper that inspects the flow.
        fn helper_name(&self) -> Option<&str> {
            AnyFlow::helper(self).map(|helper| helper.name)
        }
    } };
}

/// Emits the getters as inherent methods, to make them callable without an import.
macro_rules! inherent_getters {
    ($flow:ty) => { crate::model::flow_getters!(inherent_getters, $flow); };
    ([$flow:ty] $( $(#[$meta:meta])* fn $name:ident(&$self:ident $(, $argument:ident: $type:ty)*) -> $result:ty $body:block )*) => {
        /// # Derived
        ///
        /// These follow from the attributes. [`AnyFlow`](crate::AnyFlow) has the same methods.
        impl $flow {
            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&$self $(, $argument: $type)*) -> $result {
                    crate::model::AnyFlow::$name($self $(, $argument)*)
                }
            )*
        }
    };
}

/// Emits the attributes as inherent methods, for a type that implements [`AnyFlow`] and has no other accessors.
macro_rules! inherent_attributes {
    ($flow:ty) => { crate::model::flow_attributes!(inherent_attributes, $flow); };
    (
        [$flow:ty] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        /// # Attributes
        ///
        /// [`AnyFlow`](crate::AnyFlow) has the same methods.
        impl $flow {
            /// Returns the layer 3 family of the original tuple.
            #[must_use]
            pub fn family(&self) -> Family {
                crate::model::AnyFlow::family(self)
            }

            /// Returns the layer 4 protocol.
            #[must_use]
            pub fn protocol(&self) -> Protocol {
                crate::model::AnyFlow::protocol(self)
            }

            /// Returns the tuple of packets from the initiator.
            #[must_use]
            #[inline]
            pub fn original(&self) -> Tuple {
                crate::model::AnyFlow::original(self)
            }

            /// Returns the tuple of packets from the responder.
            #[must_use]
            #[inline]
            pub fn reply(&self) -> Tuple {
                crate::model::AnyFlow::reply(self)
            }

            $(
                $(#[$meta])*
                #[must_use]
                #[inline]
                pub fn $name(&self) -> Option<crate::model::last!($owned $(, $lent)?)> {
                    crate::model::AnyFlow::$name(self)
                }
            )*
        }
    };
}

pub(crate) use {flow_getters, inherent_attributes, inherent_getters};

/// The types that [`AnyFlow`] is implemented for, as far as this layer distinguishes them.
#[allow(unnameable_types, reason = "sealed: no other crate implements or matches it")]
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "never leaves this crate")]
#[allow(clippy::exhaustive_enums, reason = "never leaves this crate")]
pub enum Shape<'s> {
    /// A value.
    Value(&'s Flow),
    /// A view of a message.
    View(&'s FlowRef<'s>),
    /// Any other, by its accessors.
    Other(&'s dyn AnyFlow),
}

/// Keeps [`AnyFlow`] from being implemented elsewhere.
#[allow(unnameable_types, reason = "sealed: no other crate implements or calls it")]
pub trait Sealed {
    /// The shape, for code that is faster if it knows it.
    fn shape(&self) -> Shape<'_>;
}

impl Sealed for Flow {
    #[inline]
    fn shape(&self) -> Shape<'_> {
        Shape::Value(self)
    }
}

impl Sealed for FlowRef<'_> {
    #[inline]
    fn shape(&self) -> Shape<'_> {
        Shape::View(self)
    }
}

macro_rules! any_flow {
    (
        [{ $($attributes:tt)* }]
        $( $(#[$meta:meta])* fn $name:ident(&$self:ident $(, $argument:ident: $type:ty)*) -> $result:ty $body:block )*
    ) => {
        /// A flow, whatever holds it: a [`Flow`], a [`FlowRef`], an entry of a [`FlowTable`](crate::FlowTable) or a
        /// [line](crate::proc::Line) of text.
        ///
        /// Import it to write code that reads any of them. The types also have these methods without it; a few of them
        /// return something more specific there, which their documentation says. An attribute that the message or the
        /// line does not contain is `None`, never 0.
        ///
        /// The trait is sealed: only this crate implements it.
        ///
        /// # Example
        ///
        /// ```
        /// use ctnetlink::{AnyFlow, Flow, Tuple, proc::Line};
        ///
        /// fn describe(flow: &impl AnyFlow) -> String {
        ///     match flow.snat() {
        ///         Some(address) => format!("{} as {address}", flow.original().source_endpoint()),
        ///         None => flow.original().source_endpoint().to_string(),
        ///     }
        /// }
        ///
        /// let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
        /// let flow = Flow::new(original, Tuple::udp("10.0.0.2:53".parse()?, "192.0.2.1:1024".parse()?));
        /// assert_eq!(describe(&flow), "10.0.0.1:40000 as 192.0.2.1:1024");
        ///
        /// let line = Line::parse(
        ///     b"ipv4 2 udp 17 29 src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=53 \
        ///       src=10.0.0.2 dst=192.0.2.1 sport=53 dport=1024",
        /// )?;
        /// assert_eq!(describe(&line), describe(&flow));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub trait AnyFlow: Sealed {
            /// Returns the tuple of packets from the initiator.
            #[must_use]
            fn original(&self) -> Tuple;

            /// Returns the tuple of packets from the responder.
            #[must_use]
            fn reply(&self) -> Tuple;

            $($attributes)*

            /// Copies the flow into a value. Allocates only for a helper and a security context.
            #[must_use]
            fn to_flow(&self) -> Flow;

            /// Returns the tuple of one direction.
            #[must_use]
            fn tuple(&self, direction: Direction) -> Tuple {
                match direction {
                    Direction::Original => AnyFlow::original(self),
                    Direction::Reply => AnyFlow::reply(self),
                }
            }

            /// Returns the layer 3 family of the original tuple.
            #[must_use]
            fn family(&self) -> Family {
                AnyFlow::original(self).family()
            }

            /// Returns the layer 4 protocol.
            #[must_use]
            fn protocol(&self) -> Protocol {
                AnyFlow::original(self).protocol
            }

            $(
                $(#[$meta])*
                #[must_use]
                fn $name(&$self $(, $argument: $type)*) -> $result $body
            )*
        }
    };
}

macro_rules! any_flow_attributes {
    (
        [] $lifetime:lifetime;
        $(
            $(#[$meta:meta])*
            $number:ident [$length:expr] $name:ident: $owned:ty $(as $view:ty as $lent:ty)?
                = $read:expr, $write:expr $(, $lend:expr)?;
        )*
    ) => {
        flow_getters!(any_flow, {
            $(
                $(#[$meta])*
                #[doc = concat!("\n\nAttribute `", stringify!($number), "`.")]
                #[must_use]
                fn $name(&self) -> Option<last!($owned $(, $lent)?)>;
            )*
        });

        impl AnyFlow for Flow {
            fn original(&self) -> Tuple {
                self.original
            }

            fn reply(&self) -> Tuple {
                self.reply
            }

            $(
                #[inline]
                fn $name(&self) -> Option<last!($owned $(, $lent)?)> {
                    Self::$name(self)
                }
            )*

            fn to_flow(&self) -> Flow {
                self.clone()
            }
        }

        impl AnyFlow for FlowRef<'_> {
            #[inline]
            fn original(&self) -> Tuple {
                Self::original(self).to_tuple()
            }

            #[inline]
            fn reply(&self) -> Tuple {
                Self::reply(self).to_tuple()
            }

            $(
                #[inline]
                fn $name(&self) -> Option<last!($owned $(, $lent)?)> {
                    Self::$name(self).map(Into::into)
                }
            )*

            fn to_flow(&self) -> Flow {
                Self::to_flow(self)
            }
        }
    };
}

flow_attributes!(any_flow_attributes);
inherent_getters!(Flow);
inherent_getters!(FlowRef<'_>);
