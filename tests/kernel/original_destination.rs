//! The original destination of redirected connections.

use std::{
    io::{IoSliceMut, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
};

use ctnetlink::{Client, ErrorKind, Protocol};
use nix::sys::socket::{getsockopt, sockopt};

use crate::{cases, lab::Lab, samples::endpoint};

cases! {
    redirected_tcp_has_its_original_destination: "ip", "nft";
    redirected_udp_has_its_original_destination: "ip", "nft";
    zone_of_a_connection_is_looked_up: "ip", "nft";
    untracked_connection_has_no_destination;
    protocol_without_ports_is_refused;
}

/// Loopback with two more addresses, which are redirected: `.1` by dnat, `.2` by redirect.
fn redirect(lab: &Lab, zone: &str) {
    lab.run("ip", &["link", "set", "lo", "up"]);
    for address in ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128", "2001:db8::2/128"] {
        lab.run("ip", &["address", "add", address, "dev", "lo", "nodad"][..if address.contains(':') { 6 } else { 5 }]);
    }
    lab.nft(&format!(
        "table inet lab {{
            chain raw {{ type filter hook output priority raw;
{zone}
}}
            chain output {{
                type nat hook output priority -100;
                ip daddr 192.0.2.1 meta l4proto {{ tcp, udp }} dnat ip to 127.0.0.1:8080
                ip daddr 192.0.2.2 meta l4proto {{ tcp, udp }} redirect to :8080
                ip6 daddr 2001:db8::1 meta l4proto {{ tcp, udp }} dnat ip6 to [::1]:8080
                ip6 daddr 2001:db8::2 meta l4proto {{ tcp, udp }} redirect to :8080
            }}
        }}"
    ));
}

const WANTED: [(&str, &str); 4] =
    [("0.0.0.0", "192.0.2.1"), ("0.0.0.0", "192.0.2.2"), ("::", "2001:db8::1"), ("::", "2001:db8::2")];

fn connect(listener: &TcpListener, wanted: SocketAddr) -> (TcpStream, TcpStream, SocketAddr) {
    let mut connection = TcpStream::connect(wanted).unwrap();
    let (mut accepted, peer) = listener.accept().unwrap();
    connection.write_all(b"?").unwrap();
    accepted.read_exact(&mut [0]).unwrap();
    (connection, accepted, peer)
}

/// The kernel's own answer for a TCP connection: `SO_ORIGINAL_DST` of the connection's family.
fn so_original_dst(socket: &impl AsFd, is_ipv4: bool) -> SocketAddr {
    if is_ipv4 {
        let address = getsockopt(socket, sockopt::OriginalDst).unwrap();
        return SocketAddr::new(
            IpAddr::V4(u32::from_be(address.sin_addr.s_addr).into()),
            u16::from_be(address.sin_port),
        );
    }
    let address = getsockopt(socket, sockopt::Ip6tOriginalDst).unwrap();
    SocketAddr::new(IpAddr::V6(address.sin6_addr.s6_addr.into()), u16::from_be(address.sin6_port))
}

fn redirected_tcp_has_its_original_destination(lab: &Lab) {
    redirect(lab, "");
    let mut client = lab.client();
    // A dual-stack listener returns IPv4 addresses mapped into IPv6.
    for dual_stack in [false, true] {
        for (any, address) in WANTED {
            let listener = TcpListener::bind(endpoint(if dual_stack { "::" } else { any }, 8080)).unwrap();
            let wanted = endpoint(address, 5000);
            let (_connection, accepted, peer) = connect(&listener, wanted);
            let local = accepted.local_addr().unwrap();
            assert_eq!(local.is_ipv6(), dual_stack || wanted.is_ipv6());
            assert_ne!(local.ip().to_canonical(), wanted.ip());
            let found = client.original_destination(Protocol::TCP, peer, local).unwrap();
            assert_eq!(found, Some(wanted));
            assert_eq!(found, Some(so_original_dst(&accepted, wanted.is_ipv4())));
        }
    }
}

/// The address that a datagram arrived at, from the data beside it.
fn receive(socket: &UdpSocket) -> (SocketAddr, SocketAddr) {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    let mut beside = nix::cmsg_space!(nix::libc::in6_pktinfo);
    let mut buffer = [0; 16];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut beside), MsgFlags::empty()).unwrap();
    let local = message.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::V4(u32::from_be(info.ipi_addr.s_addr).into())),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(info.ipi6_addr.s6_addr.into())),
        _ => None,
    });
    let peer = message.address.unwrap();
    let peer = match (peer.as_sockaddr_in(), peer.as_sockaddr_in6()) {
        (Some(address), _) => SocketAddr::new(address.ip().into(), address.port()),
        (_, Some(address)) => SocketAddr::new(address.ip().into(), address.port()),
        _ => panic!("no address"),
    };
    (peer, SocketAddr::new(local.unwrap(), socket.local_addr().unwrap().port()))
}

fn redirected_udp_has_its_original_destination(lab: &Lab) {
    use nix::sys::socket::setsockopt;
    redirect(lab, "");
    let mut client = lab.client();
    for dual_stack in [false, true] {
        for (any, address) in WANTED {
            let server = UdpSocket::bind(endpoint(if dual_stack { "::" } else { any }, 8080)).unwrap();
            match server.local_addr().unwrap().is_ipv4() {
                true => setsockopt(&server, sockopt::Ipv4PacketInfo, &true).unwrap(),
                false => setsockopt(&server, sockopt::Ipv6RecvPacketInfo, &true).unwrap(),
            }
            let wanted = endpoint(address, 5000);
            let socket = UdpSocket::bind(endpoint(any, 0)).unwrap();
            socket.send_to(b"?", wanted).unwrap();
            let (peer, local) = receive(&server);
            assert_eq!(
                client.original_destination(Protocol::UDP, peer, local).unwrap(),
                Some(wanted),
                "{peer} {local}"
            );
        }
    }
}

fn zone_of_a_connection_is_looked_up(lab: &Lab) {
    for (zone, found_in) in [("ct zone set 7", 7), ("ct reply zone set 7", 7), ("ct original zone set 7", 0)] {
        std::thread::scope(|scope| {
            let in_a_namespace = || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                redirect(lab, zone);
                let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
                let wanted = endpoint("192.0.2.1", 5000);
                let mut connection = TcpStream::connect(wanted).unwrap();
                let (accepted, peer) = listener.accept().unwrap();
                connection.write_all(b"?").unwrap();
                let local = accepted.local_addr().unwrap();
                let mut client = Client::open().unwrap();
                for zone in [0, 7] {
                    let found = client.original_destination_in_zone(Protocol::TCP, peer, local, zone).unwrap();
                    assert_eq!(found, (zone == found_in).then_some(wanted), "{zone}");
                }
            };
            scope.spawn(in_a_namespace).join().unwrap();
        });
    }
}

fn untracked_connection_has_no_destination(lab: &Lab) {
    let [peer, local] = [endpoint("10.0.0.1", 1), endpoint("10.0.0.2", 2)];
    assert_eq!(lab.client().original_destination(Protocol::TCP, peer, local).unwrap(), None);
}

fn protocol_without_ports_is_refused(lab: &Lab) {
    let mut client = lab.client();
    let [v4, v6] = [endpoint("10.0.0.1", 1), endpoint("fd00::1", 2)];
    let refusals = [
        client.original_destination(Protocol::ICMP, v4, v4).unwrap_err(),
        client.original_destination(Protocol::TCP, v4, v6).unwrap_err(),
    ];
    assert!(refusals.iter().all(|error| error.kind() == ErrorKind::InvalidInput), "{refusals:?}");
}
