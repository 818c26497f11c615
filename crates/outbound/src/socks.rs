//! SOCKS version 5 (RFC 1928) with user name and password (RFC 1929).

use std::net::IpAddr;

use gatehouse_domain::Cause;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::{
    connect::Login,
    problem::{Instead, Problem},
    wire::{Looks, Wire},
};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const GSSAPI: u8 = 1;
const USER_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

/// What a SOCKS server says no with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocksProblem {
    /// It wants a user name and a password, or at least more than nothing; none was given.
    AuthRequired,
    /// It wants neither nothing nor a user name and a password.
    AuthUnsupported,
    /// It wants GSSAPI (Kerberos), though it was not offered.
    Gssapi,
    /// It refused the user name and the password.
    AuthRejected,
    /// User name or password do not fit into RFC 1929's 255 bytes.
    LoginTooLong,
    /// It closed the connection when it was given the user name and the password.
    ClosedAtLogin,
    /// It closed the connection at the greeting or at the request.
    Closed,
    /// It answers against the rules of the protocol.
    AgainstTheRules,
    /// It replied to the request with this code (RFC 1928, section 6); not zero. Whether an IPv6 address was asked for.
    Reply { code: u8, v6: bool },
}

impl SocksProblem {
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::AuthRequired => Cause::ProxyAuthRequired,
            Self::AuthUnsupported | Self::Gssapi | Self::LoginTooLong => Cause::ProxyAuthUnsupported,
            Self::AuthRejected => Cause::ProxyAuthRejected,
            Self::ClosedAtLogin | Self::Closed => Cause::ProxyClosed,
            // 7: "command not supported". A server that does not know CONNECT is of no use as a proxy.
            Self::AgainstTheRules | Self::Reply { code: 7, .. } => Cause::NotAProxy,
            Self::Reply { code: 2, .. } => Cause::ProxyDenied,
            // 1, 3 to 6, and 8: it can't reach an address of this kind. Codes beyond are not assigned; servers that use
            // them (Tor) mean a target that can't be reached.
            Self::Reply { .. } => Cause::TargetUnreachable,
        }
    }
}

/// Where the server is asked to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// An address.
    Address(IpAddr),
    /// A name in A-labels, at most 255 bytes; the server resolves it.
    Name(&'a str),
}

/// Agrees on a method and signs in. Says whether the server asked for the login.
pub(crate) async fn sign_in(wire: &mut Wire, login: Option<Login<'_>>) -> Result<bool, Problem> {
    // With a login, going without is offered too: the server chooses, as with HTTP, where credentials that nobody asked for
    // do no harm.
    let greeting: &[u8] =
        if login.is_some() { &[VERSION, 2, USER_PASSWORD, NO_AUTHENTICATION] } else { &[VERSION, 1, NO_AUTHENTICATION] };
    send(wire, greeting).await;
    let chosen = method(wire).await?;
    match (chosen, login) {
        (NO_AUTHENTICATION, _) => Ok(false),
        (USER_PASSWORD, Some(login)) => give_login(wire, login).await.map(|()| true),
        (NONE_ACCEPTABLE | USER_PASSWORD, None) => Err(Problem::Socks(SocksProblem::AuthRequired)),
        (NONE_ACCEPTABLE, Some(_)) => Err(Problem::Socks(SocksProblem::AuthUnsupported)),
        (GSSAPI, _) => Err(Problem::Socks(SocksProblem::Gssapi)),
        _ => Err(Problem::Socks(SocksProblem::AgainstTheRules)),
    }
}

/// The method that the server chose (RFC 1928, section 3).
async fn method(wire: &mut Wire) -> Result<u8, Problem> {
    let mut answer = [0; 64];
    let mut length = 0;
    // Reads as much as has come, not two bytes: what is not SOCKS is recognised by more than its first byte.
    while length < 2 {
        match wire.read(&mut answer[length..]).await {
            Ok(0) | Err(_) if length == 0 => return Err(Problem::Socks(SocksProblem::Closed)),
            Ok(0) | Err(_) => return Err(Problem::NotAProxy(Instead::Speaks(Looks::of(&answer[..length])))),
            Ok(read) => length += read,
        }
        if answer[0] != VERSION {
            return Err(Problem::NotAProxy(Instead::Speaks(Looks::of(&answer[..length]))));
        }
    }
    wire.give_back(&answer[2..length]);
    Ok(answer[1])
}

/// RFC 1929.
async fn give_login(wire: &mut Wire, login: Login<'_>) -> Result<(), Problem> {
    let (user, password) = (login.user.as_bytes(), login.password.expose().as_bytes());
    let (Ok(user_length), Ok(password_length)) = (u8::try_from(user.len()), u8::try_from(password.len())) else {
        return Err(Problem::Socks(SocksProblem::LoginTooLong));
    };
    let mut message = Zeroizing::new(Vec::with_capacity(3 + user.len() + password.len()));
    message.extend_from_slice(&[1, user_length]);
    message.extend_from_slice(user);
    message.push(password_length);
    message.extend_from_slice(password);
    send(wire, &message).await;
    let mut answer = [0; 2];
    if wire.read_exact(&mut answer).await.is_err() {
        return Err(Problem::Socks(SocksProblem::ClosedAtLogin));
    }
    match answer {
        // Some servers give the protocol's version here instead of the sub-negotiation's.
        [1 | VERSION, 0] => Ok(()),
        [1 | VERSION, _] => Err(Problem::Socks(SocksProblem::AuthRejected)),
        _ => Err(Problem::Socks(SocksProblem::AgainstTheRules)),
    }
}

/// Asks for a connection (RFC 1928, sections 4 to 6). What follows the reply belongs to the target.
pub(crate) async fn connect(wire: &mut Wire, destination: Destination<'_>, port: u16) -> Result<(), Problem> {
    let rules = Problem::Socks(SocksProblem::AgainstTheRules);
    let mut request = vec![VERSION, 1, 0];
    let mut v6 = false;
    match destination {
        Destination::Address(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Destination::Address(IpAddr::V6(address)) => {
            v6 = true;
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Destination::Name(name) => {
            // A host name has at most 253 bytes; nothing longer can come here.
            let length = u8::try_from(name.len()).map_err(|_| rules.clone())?;
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    send(wire, &request).await;

    // Only as far as the code at first: some servers close behind it when it is not zero.
    let mut begin = [0; 2];
    if wire.read_exact(&mut begin).await.is_err() {
        return Err(Problem::Socks(SocksProblem::Closed));
    }
    match begin {
        [VERSION, 0] => {}
        [VERSION, code] => return Err(Problem::Socks(SocksProblem::Reply { code, v6 })),
        _ => return Err(rules),
    }
    let closed = |_| Problem::Socks(SocksProblem::Closed);
    let mut kind = [0; 2];
    wire.read_exact(&mut kind).await.map_err(closed)?;
    let length = match kind[1] {
        1 => 4,
        4 => 16,
        3 => {
            let mut length = [0];
            wire.read_exact(&mut length).await.map_err(closed)?;
            usize::from(length[0])
        }
        _ => return Err(rules),
    };
    // Which address the server uses for the connection: of no use here, but it stands before the target's first byte.
    let mut bound = vec![0; length + 2];
    wire.read_exact(&mut bound).await.map_err(closed)?;
    Ok(())
}

/// Sends; a server that closes early is noticed when reading, where its last words are.
async fn send(wire: &mut Wire, bytes: &[u8]) {
    let _ = async {
        wire.write_all(bytes).await?;
        wire.flush().await
    }
    .await;
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::Secret;
    use proptest::prelude::*;

    use super::*;

    /// Plays one dialogue against a server that says `script` and hangs up. Answers the result, what the client said, and
    /// what of the script is left for the target.
    async fn play(
        script: &[u8], login: Option<(&str, &str)>, destination: Destination<'_>,
    ) -> (Result<bool, Problem>, Vec<u8>, Vec<u8>) {
        let (mut far, near) = tokio::io::duplex(64 * 1024);
        let mut wire = Wire::new(near);
        far.write_all(script).await.unwrap();
        far.shutdown().await.unwrap();
        let password = Secret::new(login.map_or("", |l| l.1));
        let login = login.map(|(user, _)| Login { user, password: &password });
        let result = match sign_in(&mut wire, login).await {
            Ok(asked) => connect(&mut wire, destination, 443).await.map(|()| asked),
            Err(problem) => Err(problem),
        };
        let mut rest = Vec::new();
        wire.read_to_end(&mut rest).await.unwrap();
        drop(wire);
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        (result, said, rest)
    }

    fn socks(problem: SocksProblem) -> Result<bool, Problem> {
        Err(Problem::Socks(problem))
    }

    const NAME: Destination<'_> = Destination::Name("example.com");

    #[tokio::test]
    async fn the_bytes_are_those_of_the_standards() {
        let (result, said, rest) = play(b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00rest", None, NAME).await;
        assert_eq!((result, rest.as_slice()), (Ok(false), &b"rest"[..]));
        assert_eq!(said, b"\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb");

        let v4 = Destination::Address([192, 0, 2, 1].into());
        let (result, said, _) = play(b"\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x00\x00", Some(("üser", "pass")), v4).await;
        assert_eq!(result, Ok(true));
        assert_eq!(said, b"\x05\x02\x02\x00\x01\x05\xc3\xbcser\x04pass\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb");

        let v6 = Destination::Address("2001:db8::1".parse().unwrap());
        let (result, said, _) = play(&[b"\x05\x00\x05\x00\x00\x04".as_slice(), &[0; 18]].concat(), Some(("u", "p")), v6).await;
        assert_eq!(result, Ok(false));
        assert!(said.ends_with(b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"));
    }

    #[tokio::test]
    async fn every_refusal_has_its_name() {
        use SocksProblem as S;
        let speaks = |looks| Err(Problem::NotAProxy(Instead::Speaks(looks)));
        let login = Some(("u", "p"));
        for (script, login, expected) in [
            (&b""[..], None, socks(S::Closed)),
            (b"\x05", None, speaks(Looks::Socks5)),
            (b"HTTP/1.1 400 Bad Request\r\n", None, speaks(Looks::Http)),
            (b"\x15\x03\x01\x00", None, speaks(Looks::Tls)),
            (b"\x00\x5b", None, speaks(Looks::Socks4)),
            (b"\x05\xff", None, socks(S::AuthRequired)),
            (b"\x05\x02", None, socks(S::AuthRequired)),
            (b"\x05\xff", login, socks(S::AuthUnsupported)),
            (b"\x05\x01", login, socks(S::Gssapi)),
            (b"\x05\x77", login, socks(S::AgainstTheRules)),
            (b"\x05\x02\x01\x01", login, socks(S::AuthRejected)),
            (b"\x05\x02\x01", login, socks(S::ClosedAtLogin)),
            (b"\x05\x02\x07\x00", login, socks(S::AgainstTheRules)),
            (b"\x05\x00", None, socks(S::Closed)),
            (b"\x05\x00\x05\x02", None, socks(S::Reply { code: 2, v6: false })),
            (b"\x05\x00\x05\x05\x00\x01", None, socks(S::Reply { code: 5, v6: false })),
            (b"\x05\x00\x04\x00", None, socks(S::AgainstTheRules)),
            (b"\x05\x00\x05\x00\x00\x09", None, socks(S::AgainstTheRules)),
            (b"\x05\x00\x05\x00\x00\x01\x00", None, socks(S::Closed)),
        ] {
            assert_eq!(play(script, login, NAME).await.0, expected, "{script:?}");
        }
        let long = "x".repeat(256);
        assert_eq!(play(b"\x05\x02", Some(("u", &long)), NAME).await.0, socks(S::LoginTooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(script: Vec<u8>, good_begin in 0usize..4, login: bool) {
            let begin: &[u8] = [&b""[..], b"\x05\x00", b"\x05\x02\x01\x00", b"\x05\x00\x05\x00\x00"][good_begin];
            let script = [begin, &script].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (result, _, rest) = runtime.block_on(play(&script, login.then_some(("u", "p")), NAME));
            if result.is_ok() {
                prop_assert!(script.ends_with(&rest));
            }
        }
    }
}
