//! Dumps the table with `netlink-packet-netfilter` and `netlink-sys`, decoding each flow.

use std::error::Error;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, conntrack::ConntrackMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// The largest datagram of a dump that the kernel sends.
const BUFFER: usize = 32_768;

fn main() -> Result<(), Box<dyn Error>> {
    ctnetlink_peers::report(dump)
}

fn dump() -> Result<usize, Box<dyn Error>> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut flows = 0;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(flows),
                NetlinkPayload::InnerMessage(_) => flows += 1,
                other => return Err(format!("not a flow: {other:?}").into()),
            }
            rest = &rest[(message.header.length as usize).next_multiple_of(4)..];
        }
    }
}

fn request() -> Vec<u8> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let get = NetfilterMessageInner::Conntrack(ConntrackMessage::Get(Vec::new()));
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, get));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
