//! Configuration: layers, ranges, and what is said about mistakes.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;
use wardline_broker::config::{Config, ConfigError, Setting, keys};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, ConfigError> {
    let file = file(text);
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let set: Vec<_> = set.iter().map(|text| Setting::Set((*text).to_owned())).collect();
    Config::default().layered(Some(file.path()), environment, &set)
}

fn error(text: &str, environment: &[(&str, &str)], set: &[&str]) -> String {
    load(text, environment, set).unwrap_err().to_string()
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wardline.toml")
}

#[test]
fn reference_file_equals_the_defaults_and_has_every_key() {
    let read = Config::default().layered(Some(&reference()), [], &[]).unwrap();
    assert_eq!(read, Config::default());
    let table: toml::Table = std::fs::read_to_string(reference()).unwrap().parse().unwrap();
    let written: BTreeSet<String> = table
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table().unwrap().keys().map(move |key| format!("{section}.{key}"))
        })
        .collect();
    assert_eq!(written, keys().map(str::to_owned).collect());
}

#[test]
fn a_tenant_has_what_holds_for_everybody_but_for_what_is_said_of_it() {
    let text = "[tenants.\"st.mary\"]\ngroup_min = \"2h\"\ndirect_default = \"max\"\n[retention]\ngroup_min = \"3h\"\nmessage_min = \"5s\"\n";
    let config = load(text, &[], &["retention.direct_default=9d", "tenants.other.message_min=7s"]).unwrap();
    let everybody = config.retention.everybody;
    assert_eq!(everybody.group.min, Duration::from_secs(3 * 3600));
    assert_eq!(everybody.direct.default, Some(Duration::from_secs(9 * 86_400)));
    let mary = config.retention.tenants["st.mary"];
    assert_eq!((mary.group.min, mary.direct.default), (Duration::from_secs(2 * 3600), None));
    assert_eq!((mary.message_min, mary.broadcast), (Duration::from_secs(5), everybody.broadcast));
    let other = config.retention.tenants["other"];
    assert_eq!((other.message_min, other.group), (Duration::from_secs(7), everybody.group));

    let wrong = |set: &str, says: &str| {
        let text = error("", &[], &[set]);
        assert!(text.contains(says), "{text}");
    };
    wrong("tenants.mary.group_mni=1h", "unknown key tenants.mary.group_mni");
    wrong("tenants.mary.group_min=soon", "tenants.mary.group_min = soon is not allowed; it must be a time");
    wrong("tenants.mary.group_min=max", "is not allowed");
    wrong("tenants..group_min=1h", "of a tenant whose name has 1 to 128 bytes");
}

#[test]
fn issuers_have_what_they_need_and_cannot_be_taken_for_each_other() {
    let north = "[issuers.north]\nissuer = \"https://id.north.example\"\ntenant = \"north\"\n";
    let south = |issuer: &str, tenants: &str| {
        format!("{north}[issuers.\"south.1\"]\nissuer = \"{issuer}\"\ntenants = {tenants}\nca = \"ca.pem\"\n")
    };
    let good = load(&south("https://id.south.example", "[\"south\", \"east, old\"]"), &[], &[]).unwrap();
    assert_eq!(good.issuers.keys().collect::<Vec<_>>(), ["north", "south.1"]);
    // Their keys need no file.
    let keys = ["tls.certificate=c", "tls.key=k"];
    load(north, &[], &keys).unwrap().require_keys().unwrap();
    let half = load(north, &[], &["tls.certificate=c", "tls.key=k", "auth.issuer=x"]).unwrap();
    assert!(half.require_keys().unwrap_err().to_string().contains("auth.jwks"));
    let listed = load(north, &[], &["issuers.south.issuer=https://s.example", "issuers.south.tenants=a, b"]);
    assert_eq!(listed.unwrap().issuers.len(), 2);

    let wrong = |text: &str, set: &[&str], says: &str| {
        let text = error(text, &[], set);
        assert!(text.contains(says), "{text} does not say {says}");
    };
    wrong(&south("https://id.north.example", "[\"south\"]"), &[], "its issuer is that of another one");
    wrong(&south("https://id.south.example", "[\"south\", \"north\"]"), &[], "speaks for a tenant for which");
    wrong(&south("https://id.south.example", "[\"\"]"), &[], "names of tenants");
    wrong(&south("https://id.south.example", "[1]"), &[], "names of tenants");
    wrong(north, &["auth.issuer=https://id.north.example"], "or of [auth]");
    wrong(north, &["issuers.north.issuer=http://id.north.example"], "an https:// URL");
    wrong(north, &["issuers.north.tenants=a"], "set either tenant");
    wrong("[issuers.x]\nissuer = \"https://x.example\"\n", &[], "set either tenant");
    wrong(north, &["issuers.north.introspect=true"], "needs client and client_secret");
    wrong(north, &["issuers.north.introspekt=true"], "unknown key issuers.north.introspekt");
    wrong(north, &["auth.fetch_min=2h"], "auth.fetch_min must be at most auth.fetch_max");
}

#[test]
fn every_key_of_the_reference_file_takes_effect() {
    // Reading a changed value must change something: no key is accepted and then ignored.
    let different = |value: &str| match value {
        "" => "memory".to_owned(),
        text if text.contains(':') => "127.0.0.2:1".to_owned(),
        text if text.ends_with("iB") => "1 GiB".to_owned(),
        text => text.strip_suffix('s').map_or(format!("{text}x"), |_| "31s".to_owned()),
    };
    let table: toml::Table = std::fs::read_to_string(reference()).unwrap().parse().unwrap();
    for (section, keys) in &table {
        for (key, value) in keys.as_table().unwrap() {
            let name = format!("{section}.{key}");
            let candidates = match value {
                toml::Value::Integer(n) => vec![(n + 1).to_string(), (n - 1).to_string()],
                toml::Value::Boolean(on) => vec![(!on).to_string()],
                value => {
                    let text = value.as_str().unwrap();
                    let more =
                        ["debug", "2m", "50ms", "128KiB", "9s", "8GiB", "1MiB", "60d", "127.0.0.2:1", "a=1"]
                            .map(str::to_owned);
                    [vec![different(text)], more.to_vec()].concat()
                }
            };
            let changed = candidates.iter().any(|value| {
                let set = Setting::Set(format!("{name}={value}"));
                Config::default().layered(None, [], &[set]).is_ok_and(|config| config != Config::default())
            });
            assert!(changed, "{name} has no effect with any of {candidates:?}");
        }
    }
}

#[test]
fn later_layers_win() {
    let text = "[retention]\nmax = \"10d\"\ndedupe_window = \"10h\"\nreclaim_every = \"10m\"\n";
    let environment = [("WARDLINE_RETENTION_MAX", "20d"), ("WARDLINE_RETENTION_DEDUPE_WINDOW", "20h")];
    let config = load(text, &environment, &["retention.max=25d"]).unwrap();
    assert_eq!(config.policy.retention_max, Duration::from_secs(25 * 86_400));
    assert_eq!(config.policy.dedupe_window, Duration::from_secs(20 * 3600));
    assert_eq!(config.reclaim_every, Duration::from_secs(600));
}

#[test]
fn values_are_read_as_people_write_them() {
    let text = r#"
        storage = { path = "/srv/wardline", engine = "memory", memory = "64MiB", reserve = 1048576 }
        listen.address = "[::1]:0"
        [limits]
        payload = "128 KiB"
        connections = 1_000
        [http]
        listen = ""
        remote = true
        [log]
        filter = "warn,wardline_broker=debug"
    "#;
    let config = load(text, &[], &["limits.lanes=4"]).unwrap();
    assert_eq!(config.storage_engine, "memory");
    assert_eq!(config.storage_path, Path::new("/srv/wardline"));
    assert_eq!((config.storage_memory_bytes, config.storage_reserve_bytes), (64 << 20, 1 << 20));
    assert_eq!(config.listen, "[::1]:0".parse().unwrap());
    assert_eq!((config.limits.connections_max, config.limits.lanes_max), (1000, 4));
    assert_eq!(config.http_listen, None);
    assert_eq!((config.http_remote, config.log_filter.as_str()), (true, "warn,wardline_broker=debug"));
    // The longest frame follows the longest payload.
    assert_eq!(config.limits.payload_bytes_max, 128 * 1024);
    assert_eq!(config.limits.frame_bytes_max - config.limits.payload_bytes_max, 40 * 1024);
}

/// As a regular expression it would have 2^24 states.
#[test]
fn a_filter_of_the_log_is_levels_and_modules_with_levels() {
    let text = |filter| format!("log.filter = \"{filter}\"");
    for filter in
        ["info", "info, wardline_broker=debug", " WARN ,\u{3000}quinn=off,", "a::b = trace", "\u{85}Y=debug"]
    {
        assert_eq!(load(&text(filter), &[], &[]).unwrap().log_filter, filter);
    }
    for filter in [
        "inof",
        "info,=",
        "=debug",
        "quinn=",
        "quinn=loud",
        "quinn",
        "[{field=.*a.......}]=debug",
        "\u{3b1}=info",
    ] {
        assert!(error(&text(filter), &[], &[]).contains("log.filter"), "{filter}");
    }
}

#[test]
fn pages_that_others_reach_must_be_asked_for() {
    let refused = error("http.listen = \"0.0.0.0:9433\"", &[], &[]);
    assert!(refused.contains("0.0.0.0:9433") && refused.contains("http.remote = true"), "{refused}");
    let remote = load("http = { listen = \"0.0.0.0:9433\", remote = true }", &[], &[]).unwrap();
    assert!(remote.http_remote);
    load("", &[("WARDLINE_HTTP_REMOTE", "true"), ("WARDLINE_HTTP_LISTEN", "[::]:0")], &[]).unwrap();
    let wrong = error("http.remote = \"yes\"", &[], &[]);
    assert!(wrong.contains("true or false"), "{wrong}");
    let wrong = error("log.filter = \"info,=\"", &[], &[]);
    assert!(wrong.contains("levels in quotes"), "{wrong}");
}

#[test]
fn unknown_keys_are_refused_naming_where_and_the_nearest() {
    let cases = [
        ("[limits]\n\npaylod = \"1KiB\"\n", ":3: unknown key limits.paylod;", "limits.payload"),
        ("[limit]\npayload = \"1KiB\"\n", ":2: unknown key limit.payload;", "limits.payload"),
        ("[retention]\npayload = \"1KiB\"\n", ":2: unknown key retention.payload;", "limits.payload"),
        ("listen = \"127.0.0.1:1\"\n", ":1: unknown key listen;", "http.listen"),
        ("[auth]\nissuer = \"a\"\n[auth.jwk]\nurl = 1\n", ":4: unknown key auth.jwk.url;", "auth."),
        ("[stop]\n[logging]\n", ":2: unknown key logging;", ""),
    ];
    for (text, where_and_what, nearest) in cases {
        let error = error(text, &[], &[]);
        assert!(error.contains(where_and_what), "{error}");
        assert!(error.contains(&format!("nearest known key is {nearest}")), "{error}");
    }
    let environment = error("", &[("WARDLINE_LIMIT_PAYLOAD", "1")], &[]);
    assert!(environment.contains("WARDLINE_LIMIT_PAYLOAD;"), "{environment}");
    assert!(environment.contains("WARDLINE_LIMITS_PAYLOAD"), "{environment}");
    let set = error("", &[], &["retention.dedup_window=1h"]);
    assert!(set.starts_with("--set: unknown key retention.dedup_window;"), "{set}");
    assert!(set.contains("retention.dedupe_window"), "{set}");
    assert!(error("", &[], &["limits.payload"]).contains("section.key=value"));
}

#[test]
fn variables_that_are_not_configuration_are_left_alone() {
    let environment = [
        ("PATH", "/bin"),
        ("WARDLINE_TOKEN", "x"),
        ("WARDLINE_LOG", "debug"),
        ("WARDLINE_SEED", "1"),
        ("WARDLINE_SEQUENCES", "1"),
        // Kubernetes, for services named wardline, wardline-metrics and wardline-ehr.
        ("WARDLINE_SERVICE_HOST", "10.96.0.7"),
        ("WARDLINE_SERVICE_PORT_QUIC", "4433"),
        ("WARDLINE_PORT", "udp://10.96.0.7:4433"),
        ("WARDLINE_METRICS_SERVICE_HOST", "10.96.0.8"),
        ("WARDLINE_METRICS_PORT_9433_TCP_ADDR", "10.96.0.8"),
        ("WARDLINE_EHR_PORT", "tcp://10.96.0.9:2575"),
    ];
    assert_eq!(load("", &environment, &[]).unwrap(), Config::default());
    for (name, value) in [("WARDLINE_PORT", "4433"), ("WARDLINE_SERVICE_HOTS", "10.96.0.7")] {
        let refused = error("", &[environment.as_slice(), &[(name, value)]].concat(), &[]);
        assert!(
            refused
                .starts_with(&format!("environment: unknown key {name}; the nearest known key is WARDLINE_"))
        );
        assert!(refused.contains("Kubernetes"), "the rule is told: {refused}");
    }
}

#[test]
fn development_keys_are_for_this_machine() {
    let listening = |address: &str| {
        let listen = Setting::Set(format!("listen.address={address}"));
        Config::dev().layered(None, [], &[listen]).unwrap().refuse_remote()
    };
    for address in ["127.0.0.1:0", "127.8.8.8:4433", "[::1]:4433", "[::ffff:127.0.0.1]:4433"] {
        listening(address).unwrap();
    }
    for address in ["0.0.0.0:4433", "[::]:0", "10.0.0.7:4433", "[::ffff:10.0.0.7]:4433"] {
        let refused = listening(address).unwrap_err().to_string();
        assert!(refused.contains(address) && refused.contains("--dev-remote"), "{refused}");
    }
    assert_eq!(Config::dev().http_listen, Config::default().http_listen, "it is watched like any other");
}

#[test]
fn wrong_types_and_ranges_are_refused_naming_value_range_and_source() {
    let in_file = [
        ("[limits]\npayload = true\n", ":2: limits.payload = true is not allowed; it must be a size"),
        ("[limits]\npayload = \"2KiB\"\n", "a size like \"64KiB\", from 4 KiB to 4 MiB"),
        ("[limits]\npayload = \"64kb\"\n", "limits.payload = \"64kb\""),
        // A page that the SDK takes: 8 MiB with all that is around the entries.
        ("[limits]\npage_bytes = \"8MiB\"\n", "from 64 KiB to 7 MiB"),
        ("[shares]\ntenants = \"st-mary=101\"\n", "names with percents from 1 to 100"),
        ("[shares]\ntenants = \"st-mary=10, st-mary=20\"\n", "names with percents from 1 to 100"),
        ("[limits]\nconnections = \"5\"\n", "a whole number from 1 to 1000000"),
        ("[limits]\nconnections = -1\n", "connections = -1"),
        ("[limits]\nconnections = 0x10\n", "a whole number"),
        ("[limits]\nlanes = 99999999999999999999999\n", "lanes"),
        ("[retention]\nmax = 30\n", "retention.max = 30 is not allowed; it must be a time like"),
        ("[retention]\nmax = \"0s\"\n", "from 1s to"),
        ("[retention]\nmax = \"30\"\n", "retention.max = \"30\""),
        ("[storage]\nengine = \"Rocks DB\"\n", "the name of an engine in quotes"),
        ("[storage]\nreserve = \"99999999999999999999GiB\"\n", "storage.reserve"),
        ("[listen]\naddress = \"localhost\"\n", "an IP address and a port"),
        ("[listen]\naddress = 4433\n", "an IP address and a port"),
        ("[[limits]]\npayload = 1\n", "unknown key limits"),
    ];
    for (text, expected) in in_file {
        let error = error(text, &[], &[]);
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    let environment = error("", &[("WARDLINE_LIMITS_LANES", "many")], &[]);
    assert!(
        environment.starts_with("environment, WARDLINE_LIMITS_LANES: limits.lanes = many"),
        "{environment}"
    );
    assert!(error("", &[], &["stop.deadline=1h"]).starts_with("--set: stop.deadline = 1h is not allowed"));
    let flag = Setting::Flag { flag: "--listen", key: "listen.address", value: "here".into() };
    let flag = Config::default().layered(None, [], &[flag]).unwrap_err().to_string();
    assert!(flag.starts_with("--listen: listen.address = here"), "{flag}");
}

#[test]
fn half_written_files_are_refused_with_the_line() {
    let whole = std::fs::read_to_string(reference()).unwrap();
    let cut = whole.find("payload = \"64").unwrap() + "payload = \"64".len();
    let half = error(&whole[..cut], &[], &[]);
    let line = whole[..cut].lines().count();
    assert!(half.contains(&format!(":{line}: not valid TOML")), "{half}");
    // Wherever the file is cut off, the answer is an error or a valid configuration, never a panic.
    for cut in (0..whole.len()).filter(|cut| whole.is_char_boundary(*cut)).step_by(7) {
        let _ = load(&whole[..cut], &[], &[]);
    }
    let missing = Config::default().layered(Some(Path::new("/nonexistent/wardline.toml")), [], &[]);
    assert!(missing.unwrap_err().to_string().contains("/nonexistent/wardline.toml"));
}

#[test]
fn contradictions_between_limits_are_refused() {
    let pairs = [
        (["limits.keep_alive=40s", "limits.idle_timeout=60s"], "keep_alive"),
        (["limits.payload=1MiB", "limits.page_bytes=512KiB"], "page_bytes"),
        (["limits.tail=2MiB", "limits.tails=1MiB"], "tails"),
        (["limits.group_commands=4096", "limits.waiting_commands=100"], "waiting_commands"),
        (["limits.handshakes=10", "limits.handshakes_before_retry=11"], "handshakes"),
        (["limits.page_bytes=2MiB", "shares.pages=2MiB"], "shares.pages"),
        (["limits.pages=1MiB", "shares.pages=2MiB"], "pages"),
        (["limits.reads_waiting=10", "shares.reads=11"], "reads_waiting"),
    ];
    for (set, named) in pairs {
        let error = error("", &[], &set);
        assert!(error.starts_with("limits contradict each other") && error.contains(named), "{error}");
    }
    // Extremes that each key allows alone fit together.
    for set in [["limits.payload=4KiB", "limits.lanes=3"], ["limits.payload=4MiB", "limits.page_bytes=7MiB"]]
    {
        load("", &[], &set).unwrap();
    }
}

#[test]
fn keys_without_a_default_are_required_and_not_mixed_with_dev() {
    let names = ["tls.certificate", "tls.key", "auth.jwks", "auth.issuer"];
    for missing in names {
        let set: Vec<_> = names
            .iter()
            .filter(|name| **name != missing)
            .map(|name| Setting::Set(format!("{name}=x")))
            .collect();
        let config = Config::default().layered(None, [], &set).unwrap();
        let error = config.require_keys().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{missing} is not set")), "{error}");
        let one = Config::dev().layered(None, [], &[Setting::Set(format!("{missing}=x"))]).unwrap();
        assert!(one.refuse_keys().unwrap_err().to_string().starts_with(missing));
    }
    Config::dev().refuse_keys().unwrap();
}
