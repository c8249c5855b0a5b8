//! Dumps the table asynchronously with netlink-proto, whose messages ctnetlink encodes and decodes:
//! `cargo run --example netlink_proto`.

mod support;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use ctnetlink::{Message, request::DumpFlows};
use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use netlink_proto::{
    new_connection,
    sys::{SocketAddr, protocols::NETLINK_NETFILTER},
};
use support::Outcome;

const USAGE: &str = "usage: netlink_proto

Lists all flows of this network namespace with netlink-proto.
Example: netlink_proto";

fn main() -> ExitCode {
    support::main(USAGE, dump)
}

#[tokio::main(flavor = "current_thread")]
async fn dump(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mut output = io::stdout().lock();
    let (connection, handle, _unsolicited) = new_connection::<Message>(NETLINK_NETFILTER)?;
    tokio::spawn(connection);
    let request = Message::from(DumpFlows::new());
    let mut answers = handle.request(request.into(), SocketAddr::new(0, 0))?;
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(Message::Flow(flow)) => writeln!(output, "{flow}")?,
            NetlinkPayload::Error(error) => return Err(refused(&error.to_io()).into()),
            _ => {}
        }
    }
    Ok(())
}

fn refused(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!("cannot dump flows: {error}: needs CAP_NET_ADMIN"),
        _ => format!("cannot dump flows: {error}"),
    }
}
