//! The answer to any request, message by message.

use super::{Client, Socket};
use crate::{
    error::Error,
    exchange::{Connection, Replies},
    request::Request,
    wire::Message,
};

impl Client {
    /// Sends any request, and gives its answer as it comes: for requests of one's own, and for attributes that this crate
    /// does not know yet.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use ctnetlink::{Client, FlowRef, request::DumpFlows};
    ///
    /// let mut client = Client::open()?;
    /// let mut answer = client.request(&DumpFlows::new())?;
    /// while let Some(message) = answer.next() {
    ///     let message = message?;
    ///     let flow = FlowRef::parse(&message)?;
    ///     for attribute in flow.attributes() {
    ///         println!("{:?}", attribute?);
    ///     }
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the request cannot be sent. That the kernel refuses it is an item of the answer.
    pub fn request(&mut self, request: &impl Request) -> Result<Answer<'_>, Error> {
        let replies = self.connection.start(request)?;
        Ok(Answer { replies, connection: &mut self.connection })
    }
}

/// The answer to a request, under way. One that is dropped before its end is given up, and the client is free for the
/// next.
#[derive(Debug)]
#[must_use = "nothing is received until `next` is called"]
pub struct Answer<'c> {
    replies: Replies,
    connection: &'c mut Connection<Socket>,
}

impl Answer<'_> {
    /// The next message, read where it lies in the receive buffer; `None` at the end, which an acknowledgement or the
    /// end of a dump is, and a request that has asked for neither does not have.
    ///
    /// # Errors
    ///
    /// An error of the kernel or the socket ends the answer. Bytes that are no message are an error and not the end.
    #[allow(clippy::should_implement_trait, reason = "it lends, which `Iterator` cannot")]
    pub fn next(&mut self) -> Option<Result<Message<'_>, Error>> {
        self.replies.next(self.connection).transpose()
    }
}
