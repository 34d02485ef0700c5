/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound on what comes from outside: one line each, with its reason. Tests try the limit and the limit plus one. */
#pragma once

#define LIMIT_HTTP_HEAD_BYTES      (64 * 1024)         /* request line + headers; tokens and cookies fit, abuse does not */
#define LIMIT_HTTP_TARGET_BYTES    (32 * 1024)         /* request target: the longest task filters of the GUI are far below */
#define LIMIT_HTTP_HEADERS         100                 /* header fields in one message */
#define LIMIT_HTTP_BODY_BYTES      (64 * 1024 * 1024)  /* upper end of any route's own bound */
#define LIMIT_HTTP_CONNECTIONS     15000               /* a process has 20,000 descriptors at least on what we run on */
#define LIMIT_HTTP_HEAD_US         (15LL * 1000000)    /* a client that dribbles its head is cut off */
#define LIMIT_HTTP_IDLE_US         (75LL * 1000000)    /* keep-alive connection without a request */
#define LIMIT_HTTP_STALL_US        (60LL * 1000000)    /* no byte of a body came, or of an answer was taken, for so long */
#define LIMIT_HTTP_PIPELINE_BYTES  (16 * 1024)         /* read ahead while a request is being answered */
#define LIMIT_HTTP_LINGER_US       (2LL * 1000000)     /* after a refusal: time for the client to read why */
#define LIMIT_HTTP_LINGER_BYTES    (1024 * 1024)       /* after a refusal: bytes of its body thrown away */
#define LIMIT_HTTP_POOL            256                 /* idle client connections a loop keeps */
#define LIMIT_HTTP_POOL_IDLE_US    (30LL * 1000000)    /* below any server's keep-alive timeout */
#define LIMIT_STREAM_HIGH_BYTES    (256 * 1024)        /* output waiting: above it the producer is paused */
#define LIMIT_STREAM_LOW_BYTES     (64 * 1024)         /* below it the producer goes on */
#define LIMIT_STREAM_IN_BYTES      (32 * 1024 * 1024)  /* received and not yet taken by the owner: above any frame or body chunk */
#define LIMIT_SSE_BACKLOG_BYTES    (8 * 1024 * 1024)   /* a subscriber this far behind is disconnected */
#define LIMIT_JSON_DEPTH           64                  /* nesting of JSON from outside */
#define LIMIT_PB_DEPTH             64                  /* nesting of protobuf messages from outside */
#define LIMIT_RPC_FRAME_BYTES      (16 * 1024 * 1024)  /* one frame between our own nodes */
#define LIMIT_RPC_ANONYMOUS_BYTES  (64 * 1024)         /* one frame of a peer without a certificate: a join request fits */
#define LIMIT_RPC_CALLS            10000               /* unanswered calls on one connection */
#define LIMIT_MASTERS              15                  /* rows of masters: voters, learners and those being replaced */
#define LIMIT_MASTER_TOKENS        64                  /* tokens for masters that are not expired */
#define LIMIT_RECORD_BYTES         (16 * 1024 * 1024)  /* one RecordIO record */
#define LIMIT_OP_BYTES             (4 * 1024 * 1024)   /* one replicated command */
#define LIMIT_DUMP_ROW_BYTES       (32 * 1024 * 1024)  /* one stored value in a dump: several commands may have built it */
#define LIMIT_DUMP_BLOCK_BYTES     (33 * 1024 * 1024)  /* one block of a dump: its rows, and one of the largest */
#define LIMIT_QUORUM_VOTERS        7                   /* masters that vote; more only make every change slower */
#define LIMIT_QUORUM_MEMBERS       15                  /* voters and learners: seven voters, and room to replace them all */
#define LIMIT_SNAPSHOT_BYTES       (1ULL << 40)        /* of the replicated state, as sent to a member that lags */
#define LIMIT_CLIENTS              65536               /* clients whose last answer is remembered, for commands sent again */
#define LIMIT_SEAL_ROUNDS          10000000            /* of deriving a key: some seconds; a file may ask for more for ever */
#define LIMIT_BACKUP_HEAD_BYTES    (64 * 1024)         /* what a backup says of itself */
#define LIMIT_BACKUP_KEYS_BYTES    (1024 * 1024)       /* keys sealed in a backup */
#define LIMIT_BACKUP_PIECE_BYTES   (1024 * 1024)       /* of a backup in one RPC frame */
#define LIMIT_VIEW_ENTRY_BYTES     (1024 * 1024)       /* one row of the node view */
#define LIMIT_RESOURCE_ROWS        1024                /* resources of one task, agent or offer */
#define LIMIT_RESOURCE_RANGES      16384               /* ranges of one resource: 65,536 ports, every fourth one */
#define LIMIT_DNS_FORWARDS         1024                /* questions waiting for upstream; more get SERVFAIL, as dcos-net's handlers */
#define LIMIT_DNS_TCP_CONNECTIONS  1000                /* per address */
#define LIMIT_DNS_TCP_BYTES        (256 * 1024)        /* pipelined questions not yet answered on one connection */
#define LIMIT_DNS_TCP_IDLE_US      (30LL * 1000000)    /* a TCP connection without a new question; RFC 7766 leaves it to the server */
#define LIMIT_VIP_CONNECTIONS      5000                /* through the userspace proxy: two descriptors each */
#define LIMIT_VIP_FLOWS            4000                /* UDP clients of the userspace proxy: a descriptor each; the longest silent one goes */
#define LIMIT_IMAGE_LAYERS         120                 /* layers of an image; their names fit one page of mount options */
#define LIMIT_IMAGE_MANIFESTS      1000                /* images in one archive or layout */
#define LIMIT_IMAGE_JSON_BYTES     (4 * 1024 * 1024)   /* index, manifest or config of an image */
#define LIMIT_IMAGE_BYTES          (64LL << 30)        /* one layer or archive, unpacked */
#define LIMIT_IMAGE_ENTRIES        5000000             /* files in one layer or archive */
#define LIMIT_FILES_READ_BYTES     (64 * 1024)         /* one answer of /files/read, as Mesos' 16 pages */
#define LIMIT_FILES_BROWSE         10000               /* entries of one directory listed by /files/browse */
#define LIMIT_TASK_ARGS            4096                /* words of a task's command line */
#define LIMIT_TASK_ENV_BYTES       (1024 * 1024)       /* environment of a task; execve takes about as much */
#define LIMIT_TASK_INFO_BYTES      (512 * 1024)        /* one launched task; its row of the view and its intent must fit theirs */
#define LIMIT_FRAMEWORK_INFO_BYTES (256 * 1024)        /* what a framework says of itself */
#define LIMIT_AGENT_INFO_BYTES     (256 * 1024)        /* what an agent says of itself: resources and attributes */
#define LIMIT_STATUSES             32                  /* states of one task that are remembered, newest last */
#define LIMIT_SCHED_CALL_BYTES     (8 * 1024 * 1024)   /* one scheduler call: an ACCEPT with thousands of tasks */
#define LIMIT_APP_ID_BYTES         200                 /* with the 37 of a task id it still is a file name, and a key of the store */
#define LIMIT_KV_KEY_BYTES         400                 /* a key of the key-value service; an LMDB key holds 511 */
#define LIMIT_KV_VALUE_BYTES       (1024 * 1024)       /* its value: four fit one replicated command */
#define LIMIT_KV_OPS               128                 /* operations of one atomic request */
#define LIMIT_KV_LIST              10000               /* keys and directories of one answer */
#define LIMIT_KV_LIST_BYTES        (4 * 1024 * 1024)   /* keys and values of one answer */
#define LIMIT_KV_LEASES            10000               /* keys with a time to live: the leader looks them through */
#define LIMIT_KV_TTL_MIN_US        (1LL * 1000000)     /* below, a busy machine's pause would end a lock */
#define LIMIT_KV_TTL_MAX_US        (7LL * 86400 * 1000000)
#define LIMIT_KV_TIMEOUT_US        (60LL * 1000000)    /* how long a client may let a call wait */
#define LIMIT_KV_WATCHES           1000                /* of one master */
#define LIMIT_KV_CALLS             100000              /* calls under way in one master */
