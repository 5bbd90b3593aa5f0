//! The file of a unix socket: made with its permission bits, removed when its door closes.
//!
//! A file that a dead process left behind is replaced; one behind which somebody still answers, or which is no socket, is
//! left alone. The permission bits are set between `bind` and `listen`, so nobody connects before they hold. On drop
//! the file is removed only if it still is the one made here. Io.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::Reason;

/// A unix socket's file that belongs to this process.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Binds and listens at `path`.
    pub(super) fn bind(path: &Path, mode: u32, backlog: i32) -> Result<(UnixListener, Self), Reason> {
        remove_stale(path)?;
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None).map_err(Reason::Other)?;
        SockAddr::unix(path).and_then(|address| socket.bind(&address)).map_err(Reason::of)?;
        let metadata = fs::symlink_metadata(path).map_err(Reason::Other)?;
        // From here on an error removes the file again.
        let file = Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Reason::Other)?;
        socket.listen(backlog).and_then(|()| socket.set_nonblocking(true)).map_err(Reason::Other)?;
        Ok((UnixListener::from(socket), file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{}: cannot remove the socket: {error}", self.path.display());
        }
    }
}

/// Removes the socket file of a process that is gone.
fn remove_stale(path: &Path) -> Result<(), Reason> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(Reason::NoSocket);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(Reason::of),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Reason::Forbidden),
        // Somebody answers, or has a full backlog.
        Ok(_) | Err(_) => Err(Reason::Taken),
    }
}
