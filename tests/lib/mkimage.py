#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""mkimage.py FORM OUT NAME: a small image of two layers around Debian's static busybox, as a `docker save` archive
(FORM docker: OUT is a file) or an OCI layout (FORM oci: OUT is a directory). The upper layer hides /removed of the lower one,
replaces /layer, and the config sets entrypoint-less cmd, env, user and working directory."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile


def layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def sha(data):
    return hashlib.sha256(data).hexdigest()


form, out, name = sys.argv[1:4]
with open("/bin/busybox", "rb") as f:
    busybox = f.read()
tools = ["sh", "cat", "id", "pwd", "sleep", "echo", "ls", "hostname", "ps", "env", "test", "stat", "readlink", "grep", "dd", "yes", "true"]
lower = layer([("bin", None, 0o755), ("bin/busybox", busybox, 0o755)] + [("bin/" + t, "busybox", 0o777) for t in tools] +
              [("tmp", None, 0o1777), ("data", None, 0o777), ("etc", None, 0o755),
               ("etc/passwd", b"root:x:0:0::/:/bin/sh\nguest:x:1234:1234::/data:/bin/sh\n", 0o644),
               ("layer", b"lower\n", 0o644), ("name", name.encode(), 0o644), ("removed", b"hidden\n", 0o644)])
upper = layer([("layer", b"upper\n", 0o644), (".wh.removed", b"", 0o644)])
config = json.dumps({
    "architecture": "amd64", "os": "linux",
    "config": {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo cmd of the image; exec sleep 100000"],
               "WorkingDir": "/data"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(lower), "sha256:" + sha(upper)]},
}).encode()

if form == "docker":
    with tarfile.open(out, "w") as tar:
        def add(path, data):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        add("lower/layer.tar", lower)
        add("upper/layer.tar", upper)
        add(sha(config) + ".json", config)
        add("manifest.json", json.dumps([{"Config": sha(config) + ".json", "RepoTags": [name],
                                          "Layers": ["lower/layer.tar", "upper/layer.tar"]}]).encode())
else:
    os.makedirs(out + "/blobs/sha256", exist_ok=True)

    def blob(data, media):
        with open(out + "/blobs/sha256/" + sha(data), "wb") as f:
            f.write(data)
        return {"mediaType": media, "digest": "sha256:" + sha(data), "size": len(data)}
    zipped = [blob(gzip.compress(d, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for d in (lower, upper)]
    manifest = blob(json.dumps({"schemaVersion": 2, "config": blob(config, "application/vnd.oci.image.config.v1+json"),
                                "layers": zipped}).encode(), "application/vnd.oci.image.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    with open(out + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
    with open(out + "/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
