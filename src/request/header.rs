//! The headers of a request.

use crate::wire::{Encoder, Family, Flags, MessageType, NetfilterHeader};

/// The contents of the headers of a request: netlink's and netfilter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unnameable_types, reason = "sealed: only `EncodeRequest` uses it")]
pub struct RequestHeader {
    /// The type of the message.
    pub message_type: MessageType,
    /// The flags. They request an acknowledgement if nothing else marks the end of the answer.
    pub flags: Flags,
    /// The family.
    pub family: Family,
    /// The version in netfilter's header, which matters in a flush only.
    pub version: u8,
}

impl RequestHeader {
    /// The headers of a request whose answer ends with an acknowledgement.
    #[must_use]
    pub const fn acknowledged(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::ACK, family)
    }

    /// The headers of a request whose answer is a dump, which ends with DONE.
    #[must_use]
    pub const fn dump(message_type: MessageType, family: Family) -> Self {
        Self::new(message_type, Flags::DUMP, family)
    }

    const fn new(message_type: MessageType, flags: Flags, family: Family) -> Self {
        Self { message_type, flags: Flags::REQUEST.union(flags), family, version: 0 }
    }

    /// Adds flags.
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { flags: self.flags.union(flags), ..self }
    }

    /// Sets the version.
    #[must_use]
    pub const fn with_version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    pub(super) fn encode_netfilter(self, encoder: &mut Encoder<'_>) {
        encoder.netfilter_header(NetfilterHeader::new(self.family).with_version(self.version));
    }
}

/// The flags of a request that creates an entry, or fails if it exists unless it may update.
pub(super) const fn creation(or_update: bool) -> Flags {
    if or_update { Flags::CREATE } else { Flags::CREATE.union(Flags::EXCLUSIVE) }
}
