//! The SYN proxy's numbers.

use crate::{
    error::DecodeError,
    macros::read_attributes,
    wire::{
        Attribute, AttributeSet, Attributes, CTA_SYNPROXY_ISN, CTA_SYNPROXY_ITS, CTA_SYNPROXY_TSOFF, Encode, Encoder,
    },
};

/// The SYN proxy's data about a connection (`CTA_SYNPROXY`; `struct nf_conn_synproxy`).
///
/// Every flow that was created through netlink has it, with zeros.
///
/// # Example
///
/// ```
/// use ctnetlink::{Flow, Synproxy, Tuple};
///
/// let tuple = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:22".parse()?);
/// let mut flow = Flow::new(tuple, tuple.inverted().unwrap());
/// flow.synproxy = Some(Synproxy { initial_sequence: 7, ..Synproxy::default() });
/// assert_eq!(flow.synproxy().unwrap().initial_sequence, 7);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_structs, reason = "the kernel asks for all three and has no other")]
pub struct Synproxy {
    /// The initial sequence number that was sent to the client (`CTA_SYNPROXY_ISN`).
    #[doc(alias = "isn")]
    pub initial_sequence: u32,
    /// The initial timestamp (`CTA_SYNPROXY_ITS`; RFC 7323) that was sent to the client.
    #[doc(alias = "its")]
    pub initial_timestamp: u32,
    /// The offset between the timestamps of the proxy and of the server, in their ticks (`CTA_SYNPROXY_TSOFF`).
    #[doc(alias = "tsoff")]
    pub timestamp_offset: u32,
}

impl Synproxy {
    #[inline]
    pub(crate) fn read(attribute: Attribute<'_>) -> Result<Self, DecodeError> {
        attribute.walk(AttributeSet::Synproxy, Self::walk)
    }

    fn walk(attributes: Attributes<'_>) -> Result<Self, DecodeError> {
        read_attributes!(attributes;
            CTA_SYNPROXY_ISN => sequence = Attribute::u32,
            CTA_SYNPROXY_ITS => timestamp = Attribute::u32,
            CTA_SYNPROXY_TSOFF => offset = Attribute::u32,
        );
        let require = |value: Option<u32>, number| value.ok_or_else(|| attributes.missing(number));
        Ok(Self {
            initial_sequence: require(sequence, CTA_SYNPROXY_ISN)?,
            initial_timestamp: require(timestamp, CTA_SYNPROXY_ITS)?,
            timestamp_offset: require(offset, CTA_SYNPROXY_TSOFF)?,
        })
    }
}

impl Encode for Synproxy {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.u32(CTA_SYNPROXY_ISN, self.initial_sequence);
        encoder.u32(CTA_SYNPROXY_ITS, self.initial_timestamp);
        encoder.u32(CTA_SYNPROXY_TSOFF, self.timestamp_offset);
    }
}
