//! Packets for the kernel to track.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::Lab;

impl Lab {
    /// Brings up loopback and makes the kernel track its packets.
    pub fn track_loopback(&self) {
        self.run("ip", &["link", "set", "lo", "up"]);
        self.nft("table inet lab { chain output { type filter hook output priority 0; ct state new counter; }; }");
    }

    /// Opens a TCP connection over loopback and returns both ends.
    pub fn tcp(&self, address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (server, _) = listener.accept().expect("the other end");
        (client, server)
    }

    /// Sends a UDP packet and its answer over loopback.
    pub fn udp(&self, address: &str) -> (SocketAddr, SocketAddr) {
        let server = UdpSocket::bind(address).expect("a socket");
        let client = UdpSocket::bind(SocketAddr::new(server.local_addr().unwrap().ip(), 0)).expect("a socket");
        let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
        let mut buffer = [0; 16];
        client.send_to(b"ask", there).expect("sent");
        server.recv_from(&mut buffer).expect("received");
        server.send_to(b"answer", here).expect("sent");
        client.recv_from(&mut buffer).expect("received");
        (here, there)
    }

    /// Sends an echo request to a loopback address and waits for the answer of the kernel.
    pub fn ping(&self, address: IpAddr) {
        use nix::sys::socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket,
        };
        let (family, protocol, request) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0xe5, 0xcb, 0x12, 0x34, 0, 0]),
            // The kernel fills in the checksum of ICMPv6.
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0x12, 0x34, 0, 0]),
        };
        let socket = socket(family, SockType::Raw, SockFlag::empty(), protocol).expect("a raw socket");
        let target = SockaddrStorage::from(SocketAddr::new(address, 0));
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        sendto(fd, &request, &target, MsgFlags::empty()).expect("sent");
        // The socket receives both the request and its answer. IPv4 packets start with their header.
        let (answer, header) = if address.is_ipv4() { (0, 20) } else { (129, 0) };
        let mut buffer = [0; 128];
        while recv(fd, &mut buffer, MsgFlags::empty()).expect("received") <= header || buffer[header] != answer {}
    }
}
