//! What stands in the headers of a request.

use crate::wire::{Encoder, Family, Flags, MessageType, NetfilterHeader};

/// What stands in the headers of a request: netlink's, and that of netfilter behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unnameable_types, reason = "sealed: only `EncodeRequest` uses it")]
pub struct RequestHeader {
    /// The type of the message.
    pub message_type: MessageType,
    /// The flags. They ask for an acknowledgement wherever the answer would end without a sign otherwise.
    pub flags: Flags,
    /// The family that is asked about.
    pub family: Family,
    /// The version in netfilter's header, which the kernel looks at in a flush alone.
    pub version: u8,
}

impl RequestHeader {
    /// Of a request whose answer ends with an acknowledgement.
    #[must_use]
    pub const fn acknowledged(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::ACK, family)
    }

    /// Of a request whose answer is a dump, which ends by itself.
    #[must_use]
    pub const fn dump(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::DUMP, family)
    }

    const fn new(message_type: MessageType, flags: Flags, family: Family) -> Self {
        Self { message_type, flags: Flags::REQUEST.union(flags), family, version: 0 }
    }

    /// With these flags besides.
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { flags: self.flags.union(flags), ..self }
    }

    /// With another version in netfilter's header than 0.
    #[must_use]
    pub const fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    pub(super) fn encode_netfilter(self, encoder: &mut Encoder<'_>) {
        encoder.netfilter_header(NetfilterHeader::new(self.family).with_version(self.version));
    }
}

/// The flags of a request that creates; one that is to fail where there is such an entry says so.
pub(super) const fn creation(or_update: bool) -> Flags {
    if or_update { Flags::CREATE } else { Flags::CREATE.union(Flags::EXCLUSIVE) }
}
