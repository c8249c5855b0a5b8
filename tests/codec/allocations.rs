//! Operations that allocate nothing.

use allocation_counter::{AllocationInfo, measure};
use ctnetlink::{
    Flow, FlowRef,
    wire::{Encoder, Flags, MessageType},
};

use crate::messages::{is_flow, message, recorded};

fn flows() -> impl Iterator<Item = Vec<u8>> {
    recorded("vectors-dump").into_iter().filter(|bytes| is_flow(bytes))
}

fn allocations(mut run: impl FnMut()) -> u64 {
    let AllocationInfo { count_total, .. } = measure(&mut run);
    count_total
}

#[test]
fn only_a_helper_allocates_when_a_flow_decodes() {
    for bytes in flows() {
        let message = message(&bytes);
        let mut decoded = None;
        let count = allocations(|| decoded = Flow::decode(&message).ok());
        assert_eq!(count, u64::from(decoded.unwrap().helper.is_some()));
    }
}

#[test]
fn views_never_allocate() {
    for bytes in flows() {
        let message = message(&bytes);
        let count = allocations(|| {
            let flow = FlowRef::parse(&message).unwrap();
            std::hint::black_box((flow.original().to_tuple(), flow.reply().to_tuple(), flow.status(), flow.helper()));
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn encoding_a_flow_allocates_nothing() {
    for bytes in flows() {
        let flow = Flow::decode(&message(&bytes)).unwrap();
        let mut buffer = [0; 1024];
        let count = allocations(|| {
            let mut encoder = Encoder::new(&mut buffer);
            encoder.message(MessageType::FLOW_NEW, Flags::REQUEST, 1, flow.family(), |body| flow.encode(body));
            encoder.finish().unwrap();
        });
        assert_eq!(count, 0);
    }
}
