//! Which server has the keys, and how it is reached.

use std::future::Future;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, cmd};

use crate::settings::{Kind, Settings};

/// Host and port of a server.
pub(crate) type Address = (String, u16);

/// The server to write to, at this moment. Nobody that is asked may take longer than `limit`.
pub(crate) async fn find(settings: &Settings, limit: Duration) -> Result<ConnectionInfo, RedisError> {
    let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
    for seed in &settings.seeds {
        let found = match settings.kind {
            Kind::Single => return Ok(seed.clone()),
            // Each by itself: one that is silent must not take the time of the others.
            Kind::Sentinel => in_time(limit, master_of(settings, seed)).await,
            Kind::Cluster => in_time(limit, owner_of(&settings.prefix, seed)).await,
        };
        match found {
            Ok(server) => return Ok(server),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(crate) async fn in_time<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let late = |_| RedisError::from((ErrorKind::Io, "late", format!("no answer within {limit:?}")));
    tokio::time::timeout(limit, step).await.map_err(late)?
}

pub(crate) fn plain() -> AsyncConnectionConfig {
    // The limits are those of the calls.
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

pub(crate) async fn connect(
    server: ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(10));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(Duration::from_secs(10));
    Client::open(server.set_tcp_settings(tcp))?.get_multiplexed_async_connection_with_config(config).await
}

/// Where a server is; none if it has no host.
pub(crate) fn address(server: &ConnectionInfo) -> Option<Address> {
    match server.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host.clone(), *port))
        }
        _ => None,
    }
}

/// The same settings, at another address.
fn at(seed: &ConnectionInfo, (host, port): Address) -> ConnectionInfo {
    let addr = match seed.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    seed.clone().set_addr(addr)
}

/// The master that this sentinel names; whether it is one is not asked.
async fn named_by(settings: &Settings, sentinel: &ConnectionInfo) -> Result<Option<Address>, RedisError> {
    let own = redis::RedisConnectionInfo::default();
    let own = match &settings.sentinel_password {
        Some(password) => own.set_password(password),
        None => own,
    };
    let mut connection = connect(sentinel.clone().set_redis_settings(own), &plain()).await?;
    let mut ask = cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(&settings.master);
    ask.query_async(&mut connection).await
}

async fn master_of(settings: &Settings, seed: &ConnectionInfo) -> Result<ConnectionInfo, RedisError> {
    let found = named_by(settings, seed).await?;
    let master = found.ok_or_else(|| {
        RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "no master of this name is known"))
    })?;
    let master = at(seed, master);
    // A sentinel may not have heard yet that it is no master any more.
    let mut connection = connect(master.clone(), &plain()).await?;
    let role: Vec<redis::Value> = cmd("ROLE").query_async(&mut connection).await?;
    let role: String =
        role.first().and_then(|role| redis::from_redis_value_ref(role).ok()).unwrap_or_default();
    if role != "master" {
        return Err(RedisError::from((
            ErrorKind::Client,
            "the sentinels name a server that is not a master yet",
        )));
    }
    Ok(master)
}

/// The master that the first sentinel names that answers and knows one.
pub(crate) async fn named(settings: &Settings, limit: Duration) -> Option<Address> {
    for seed in &settings.seeds {
        if let Ok(Some(named)) = in_time(limit, named_by(settings, seed)).await {
            return Some(named);
        }
    }
    None
}

/// The node of a cluster that serves our keys. They share one hash slot, so one node has them all.
async fn owner_of(prefix: &str, seed: &ConnectionInfo) -> Result<ConnectionInfo, RedisError> {
    let mut connection = connect(seed.clone(), &plain()).await?;
    let slot: u16 = cmd("CLUSTER").arg("KEYSLOT").arg(prefix).query_async(&mut connection).await?;
    let ranges: Vec<Vec<redis::Value>> = cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    for range in ranges {
        let [first, last, master, ..] = range.as_slice() else { continue };
        let (first, last): (u16, u16) =
            (redis::from_redis_value_ref(first)?, redis::from_redis_value_ref(last)?);
        if (first..=last).contains(&slot) {
            let redis::Value::Array(parts) = master else { continue };
            let [host, port, ..] = parts.as_slice() else { continue };
            let (host, port): (Option<String>, u16) =
                (redis::from_redis_value_ref(host)?, redis::from_redis_value_ref(port)?);
            let own = match seed.addr() {
                ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
                _ => String::new(),
            };
            // A node that does not know its own name is the one that was asked.
            let host = host.filter(|host| !host.is_empty()).unwrap_or(own);
            return Ok(at(seed, (host, port)));
        }
    }
    Err(RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node serves the keys of the scheduler")))
}
