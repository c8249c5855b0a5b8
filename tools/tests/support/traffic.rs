//! Traffic between two namespaces.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket,
};

use crate::network::Namespace;

/// Connects over TCP, sends and receives that many bytes, and returns both ends.
pub fn tcp(
    client: &Namespace,
    server: &Namespace,
    [bind, target]: [&str; 2],
    [up, down]: [usize; 2],
) -> (TcpStream, TcpStream) {
    let listener = server.inside(|| TcpListener::bind(bind).unwrap());
    let mut here = client.inside(|| TcpStream::connect(target).unwrap());
    let (mut there, _) = listener.accept().unwrap();
    here.write_all(&vec![1; up]).unwrap();
    there.read_exact(&mut vec![0; up]).unwrap();
    there.write_all(&vec![2; down]).unwrap();
    here.read_exact(&mut vec![0; down]).unwrap();
    (here, there)
}

/// Exchanges datagrams over UDP, each answered by twice as many bytes.
pub fn udp(client: &Namespace, server: &Namespace, [bind, target]: [&str; 2], count: usize, size: usize) {
    let there = server.inside(|| UdpSocket::bind(bind).unwrap());
    let target: SocketAddr = target.parse().unwrap();
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let here = client.inside(|| UdpSocket::bind(any).unwrap());
    let mut buffer = vec![0; size * 2];
    for _ in 0..count {
        here.send_to(&buffer[..size], target).unwrap();
        let (_, from) = there.recv_from(&mut buffer).unwrap();
        there.send_to(&buffer, from).unwrap();
        here.recv_from(&mut buffer).unwrap();
    }
}

/// Sends an echo request and waits for the answer.
pub fn ping(client: &Namespace, target: &str) {
    let target: IpAddr = target.parse().unwrap();
    let (family, protocol, request) = match target {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0xe5, 0xcb, 0x12, 0x34, 0, 0]),
        // The kernel fills in the checksum of ICMPv6.
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0x12, 0x34, 0, 0]),
    };
    let socket = client.inside(|| socket(family, SockType::Raw, SockFlag::empty(), protocol).unwrap());
    let address = SockaddrStorage::from(SocketAddr::new(target, 0));
    sendto(socket.as_raw_fd(), &request, &address, MsgFlags::empty()).unwrap();
    // IPv4 packets start with their header.
    let (answer, header) = if target.is_ipv4() { (0, 20) } else { (129, 0) };
    let mut buffer = [0; 128];
    while recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap() <= header || buffer[header] != answer {}
}
