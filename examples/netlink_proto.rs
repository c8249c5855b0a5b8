//! Dumps the table asynchronously through the rust-netlink stack: netlink-proto carries the messages, ctnetlink is what
//! they say. `cargo run --example netlink_proto`.
#![allow(missing_docs)]

use std::error::Error;

use ctnetlink::{Message, request::DumpFlows};
use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use netlink_proto::{
    new_connection,
    sys::{SocketAddr, protocols::NETLINK_NETFILTER},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (connection, handle, _unsolicited) = new_connection::<Message>(NETLINK_NETFILTER)?;
    tokio::spawn(connection);
    let request = Message::from(DumpFlows::new());
    let mut answers = handle.request(request.into(), SocketAddr::new(0, 0))?;
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(Message::Flow(flow)) => println!("{flow}"),
            NetlinkPayload::Error(error) => return Err(error.to_io().into()),
            _ => {}
        }
    }
    Ok(())
}
