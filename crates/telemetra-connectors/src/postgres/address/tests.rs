//! Addresses of every shape; what must never be shown; texts of any kind.

use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn addresses_read_as_libpq_and_pgjdbc_read_them() {
    let check = |text: &str, shown: &str| assert_eq!(address(text).shown(), shown, "{text}");
    check("postgres://localhost/d", "postgres://localhost:5432/d?sslmode=prefer");
    check("postgresql://u:p@localhost:6432/d", "postgres://u@localhost:6432/d?sslmode=prefer");
    check("postgres://", "postgres://localhost:5432?sslmode=prefer");
    check("postgres:///d", "postgres://localhost:5432/d?sslmode=prefer");
    check("postgres://[::1]:5/d", "postgres://[::1]:5/d?sslmode=prefer");
    check("POSTGRES://u%40x:p%2F@db/d%20d", "postgres://u%40x@db:5432/d%20d?sslmode=verify-full");
    check("postgres://u:p@ss@db/d", "postgres://u@db:5432/d?sslmode=verify-full");
    check(
        "postgres://a:1,b,[2001:db8::1]:3/d?sslmode=require",
        "postgres://a:1,b:5432,[2001:db8::1]:3/d?sslmode=require",
    );
    check(
        "postgres:///d?host=/run/postgresql&port=5433",
        "postgres://%2Frun%2Fpostgresql:5433/d?sslmode=prefer",
    );
    check("postgres://%2Frun%2Fpg/d", "postgres://%2Frun%2Fpg:5432/d?sslmode=prefer");
    check(
        "postgres://db/d?sslrootcert=/ca.pem&connect_timeout=9&application_name=x&options=-c%20a=b\
         &target_session_attrs=primary&channel_binding=require",
        "postgres://db:5432/d?sslmode=verify-full&sslrootcert=%2Fca.pem&options=-c%20a%3Db&application_name=x\
         &connect_timeout=9&target_session_attrs=read-write&channel_binding=require",
    );
    check("jdbc:postgresql:d", "postgres://localhost:5432/d?sslmode=prefer");
    check("jdbc:postgresql:/", "postgres://localhost:5432?sslmode=prefer");
    check("jdbc:postgresql://db/", "postgres://db:5432?sslmode=verify-full");
    check(
        "jdbc:postgresql://db:5/d?user=u&password=p+q&ssl=true&currentSchema=a,b&ApplicationName=an+app",
        "postgres://u@db:5/d?sslmode=verify-full&currentSchema=a%2Cb&application_name=an%20app",
    );
    check(
        "jdbc:postgresql://db/d?ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory",
        "postgres://db:5432/d?sslmode=require",
    );
    check("jdbc:postgresql://db/d?ssl=true&sslmode=verify-ca", "postgres://db:5432/d?sslmode=verify-ca");
}

#[test]
fn passwords_are_decoded_by_the_dialects_rules() {
    let check = |text: &str, password: &str| {
        assert_eq!(address(text).password.as_ref().map(Secret::expose), Some(password), "{text}");
    };
    check("postgres://u:a+b%2Bc@localhost/d", "a+b+c");
    check("postgres://u:a:b#c@localhost/d", "a:b#c");
    check("postgres://localhost/d?password=a+b", "a+b");
    check("jdbc:postgresql://localhost/d?password=a+b%2B", "a b+");
    check("postgres://u:a@b@localhost/d", "a@b");
}

#[test]
fn what_only_tunes_other_clients_is_noted_and_what_weakens_is_refused() {
    let notes = |text: &str| address(text).notes().join("; ");
    let found = notes(
        "jdbc:postgresql://localhost/d?reWriteBatchedInserts=true&prepareThreshold=0&tcpKeepAlive=true",
    );
    assert_eq!(
        found,
        "without effect here: reWriteBatchedInserts, prepareThreshold; \
         without effect, telemetra sets its own: tcpKeepAlive"
    );
    assert!(notes("postgres://db/d?sslmode=require").contains("nobody checks that db:5432"));
    assert_eq!(
        notes("postgres://db/d?sslmode=require&sslrootcert=/ca.pem"),
        "",
        "then the chain is verified"
    );
    let fault = |text: &str| Address::parse(text).expect_err(text);
    assert!(fault("postgres://db/d?sslcrl=/x").contains("asks for sslcrl"));
    assert!(fault("postgres://db/d?require_auth=scram-sha-256").contains("asks for require_auth"));
    assert!(fault("postgres://db/d?sslmod=require").contains("did you mean sslmode?"));
    assert!(fault("jdbc:postgresql://db/d?currentschema=x").contains("did you mean currentSchema?"));
    assert!(fault("postgres://db/d?kitchen=1").contains("`kitchen`, which does not exist"));
    assert!(fault("postgres://db/d?sslmode=none").contains("choose disable, allow, prefer"));
    assert!(fault("postgres://db/d?connect_timeout=soon").contains("from 1 to 600"));
    assert!(fault("postgres://db:0/d").contains("no port"));
    assert!(fault("postgres://db/d?host=a,b&port=1,2,3").contains("numbers of hosts and ports"));
    assert!(fault("postgres://d b/d").contains("a host that is no name"));
    assert!(fault("mysql://db/d").contains("no address of a PostgreSQL server"));
    assert!(fault("postgres://db/%zz").contains("two hexadecimal digits"));
    assert!(fault("postgres://db/%00").contains("NUL"));
    assert!(fault("postgres://db/d?sslcert=/c").contains("needs its key"));
    assert!(fault("postgres://db/d?sslmode=require&sslrootcert=system").contains("too weak"));
}

#[test]
fn a_password_does_not_go_to_another_machine_in_clear() {
    let fault = Address::parse("postgres://u:canary@db/d?sslmode=disable").expect_err("refused");
    for part in ["another machine, db:5432", "sslrootcert", "postgres_allow_clear_password = true"] {
        assert!(fault.contains(part), "{part} is missing in {fault}");
    }
    assert!(!fault.contains("canary"));
    for fine in [
        "postgres://u@db/d?sslmode=disable",
        "postgres://u:p@localhost/d?sslmode=disable",
        "postgres://u:p@127.9.9.9/d?sslmode=disable",
        "postgres://u:p@[::1]/d?sslmode=disable",
        "postgres://u:p@[::ffff:127.0.0.1]/d?sslmode=disable",
        "postgres:///d?host=/run/pg&password=p&sslmode=disable",
        // These never fall back to clear; `connect` sees to that.
        "postgres://u:p@db/d?sslmode=prefer",
        "postgres://u:p@db/d?sslmode=allow",
    ] {
        address(fine);
    }
    for refused in ["localhost,db", "db,localhost", "128.0.0.1", "[::2]", "localhost.example.org"] {
        let text = format!("postgres://u:p@{refused}/d?sslmode=disable");
        assert!(Address::parse(&text).is_err(), "{refused}");
        let allowed = Parts { allow_clear_password: true, ..Parts::parse(&text).expect("it reads") }.finish();
        assert_eq!(allowed.map(|address| address.tls.mode), Ok(SslMode::Disable));
    }
    let parts = Parts::parse("postgres://u:p@db/d").expect("it reads");
    let told = Parts { allow_clear_password: true, ..parts }.finish().expect("valid");
    assert_eq!(told.tls.mode, SslMode::Prefer, "told so, it does as libpq");
}

#[test]
fn an_address_says_more_than_single_parts() {
    let own = Parts::parse("jdbc:postgresql://db/shop?user=u").expect("it reads");
    let others = Parts {
        hosts: Parts::hosts_of("elsewhere", 9).expect("a host"),
        database: Some("shop".into()),
        user: Some("other".into()),
        password: Some(Secret::new("p")),
        ssl_mode: Some(SslMode::Require),
        ..Parts::default()
    };
    let address = own.or(others, "POSTGRES_*").finish().expect("valid");
    assert_eq!(address.shown(), "postgres://u@db:5432/shop?sslmode=require");
    assert!(address.has_password());
    assert!(address.notes()[0].ends_with("the address says otherwise: host, user"), "{:?}", address.notes());
}

#[test]
fn a_torn_password_is_not_repeated() {
    for text in [
        "postgres://u:canary/x@db/d",
        "postgres://u:canary?x@db/d",
        "postgres://u:1?canary=x@db/d",
        "postgres://u:p@x/canary@db/d",
        "postgres://u:5/canary@db/d",
        "postgres://u:canary%@db/d",
        "postgres://u:p@canary!@db:x/d",
        "postgres:u:canary@db/d",
        "jdbc:postgresql:u:canary@db/d",
        "postgres://u:[canary@db/d?x=1",
    ] {
        let said = match Address::parse(text) {
            Ok(address) => format!("{address} {address:?} {:?}", address.notes()),
            Err(fault) => fault,
        };
        assert!(!said.contains("canary"), "{text}: {said}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_shown_reads_back(text in "\\PC{0,60}", jdbc: bool) {
        for text in [text.clone(), format!("postgres://{text}"), format!("jdbc:postgresql://{text}")] {
            let Ok(address) = Address::parse(&text) else { continue };
            let again = Address::parse(&address.shown()).expect("what is shown is an address");
            prop_assert_eq!(again.shown(), address.shown());
            prop_assert_eq!(&again.hosts, &address.hosts);
        }
        let scheme = if jdbc { "jdbc:postgresql:" } else { "postgres:" };
        _ = Address::parse(&format!("{scheme}{text}"));
    }

    #[test]
    fn the_password_is_never_repeated(
        before in "[!-~]{0,6}", after in "[!-~]{0,6}", at in 0..3_usize, port in "(:5432|:x|)",
    ) {
        let password = format!("{before}canary{after}");
        let text = match at {
            0 => format!("postgres://u:{password}@db{port}/d?sslmode=disable"),
            1 => format!("postgres://db{port}/d?password={}&x=1", text::encoded(&password)),
            _ => format!("jdbc:postgresql://db{port}/d?user=u&password={}", text::encoded(&password)),
        };
        let said = match Address::parse(&text) {
            Ok(address) => format!("{address} {address:?} {:?}", address.notes()),
            Err(fault) => fault,
        };
        prop_assert!(!said.contains("canary"), "{}", said);
    }

    #[test]
    fn a_password_survives_its_encoding(password in "\\PC{1,20}") {
        let text = format!("postgres://u:{}@localhost/d", text::encoded(&password));
        let address = Address::parse(&text).expect("an address");
        prop_assert_eq!(address.password.as_ref().map(Secret::expose), Some(password.as_str()));
    }
}
