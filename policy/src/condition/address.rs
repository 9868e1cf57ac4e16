//! `client_address`: where the client is.

use std::net::IpAddr;

use ipnet::IpNet;

use super::evidence::Evidence;
use super::{Condition, Reading, Test, Truth};
use crate::Request;
use crate::fields::{Field, Object, Shape};

/// The keys of `client_address`.
pub(crate) const OPERATORS: &[Field] = &[Field {
    name: "in",
    shape: Shape::Names,
    required: false,
    manual: "It is in one of these networks, as `10.0.0.0/8` or `2001:db8::/32`, or is one of these addresses. An IPv4 \
             address that reaches the gateway over IPv6 counts as the IPv4 address it is.",
}];

#[derive(Debug)]
struct AddressTest {
    networks: Vec<IpNet>,
}

/// Compiles what stands at `client_address`.
pub(super) fn compile(object: Object<'_>, key: &'static str, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let mut networks = Vec::new();
    for written in object.object(key)?.names("in") {
        match network(written.value) {
            Ok(network) => networks.push(network),
            Err((message, suggestion)) => reading.context.problems.push(written.problem(message, suggestion)),
        }
    }
    Some(Condition::test(AddressTest { networks }))
}

/// Reads an address or a network, or says why it is neither, and what to write.
pub(crate) fn network(written: &str) -> Result<IpNet, (String, Option<String>)> {
    let read = written.parse::<IpNet>().ok().or_else(|| written.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = read else {
        let message = format!("\"{written}\" is neither a network nor an address");
        return Err((message, Some("write it as 10.0.0.0/8 or 2001:db8::/32".to_owned())));
    };
    if network.trunc() != network {
        let message = format!("\"{written}\" has bits beyond its prefix");
        return Err((message, Some(format!("write {} or {}", network.trunc(), network.addr()))));
    }
    Ok(canonical(network))
}

/// A network of IPv4 addresses written as IPv6 (`::ffff:10.0.0.0/104`) as the IPv4 network it is.
fn canonical(network: IpNet) -> IpNet {
    let prefix = network.prefix_len().checked_sub(96);
    match (network.addr().to_canonical(), network, prefix) {
        (address @ IpAddr::V4(_), IpNet::V6(_), Some(prefix)) => IpNet::new(address, prefix).unwrap_or(network),
        _ => network,
    }
}

/// Whether an address is in a network.
pub(crate) fn is_in(address: IpAddr, network: &IpNet) -> bool {
    network.contains(&address.to_canonical())
}

impl Test for AddressTest {
    fn truth(&self, request: &Request) -> Truth {
        Truth::from(self.networks.iter().any(|network| is_in(request.facts.client_address, network)))
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        found.fact(fact(request));
    }
}

/// Where the client is, as a clause.
pub(crate) fn fact(request: &Request) -> String {
    format!("the client's address is {}", request.facts.client_address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_arrives() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let is_in = |text, written| is_in(address(text), &network(written).unwrap());
        assert!(is_in("10.1.2.3", "10.0.0.0/8"));
        assert!(is_in("::ffff:10.1.2.3", "10.0.0.0/8"));
        assert!(is_in("10.1.2.3", "::ffff:10.0.0.0/104"));
        assert!(is_in("10.1.2.3", "10.1.2.3") && !is_in("10.1.2.4", "10.1.2.3"));
        assert!(is_in("2001:db8::1", "2001:db8::/32") && !is_in("2001:db9::1", "2001:db8::/32"));
        assert!(!is_in("10.1.2.3", "::/0") && !is_in("2001:db8::1", "0.0.0.0/0"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for written in ["10.0.0.0/33", "10.0.0", "10.0.0.1/8", "2001:db8::1/32", "localhost", "10.0.0.0/8 ", ""] {
            assert!(network(written).is_err(), "{written}");
        }
    }
}
