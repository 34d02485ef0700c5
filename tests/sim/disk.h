/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory behind store/disk.h, with the mean habits of real ones: until a sync, each 512-byte sector written since may
 * or may not be on the medium after a power cut; names made, renamed and removed reach it in order, but not before sync_dir
 * promises. Space can run out, any call can fail, the machine can stop at any call that changes something, and bits can flip
 * while it rests. Everything random comes from one seed.
 */
#pragma once

#include "net/base/rnd.h"
#include "store/disk.h"

#define DISK_SIM_FILES 256
#define DISK_SIM_OPEN 64
#define DISK_SIM_NAMES 256

struct disk_sim_file {
	uint8_t *now, *medium;           /* as the page cache has it; as the medium has it */
	size_t len, medium_len, cap;
};

struct disk_sim_name {
	char path[128];                  /* "": free */
	int file;
};

struct disk_sim {
	struct disk disk;                /* hand out &disk_sim.disk */
	struct rnd rnd;
	struct disk_sim_file files[DISK_SIM_FILES];
	size_t file_count;
	int open[DISK_SIM_OPEN];         /* file of a descriptor, -1: closed */
	struct disk_sim_name names[DISK_SIM_NAMES];
	/* Directories as they were after each change since the last sync_dir; a power cut goes back to one of them. */
	struct disk_sim_name (*past)[DISK_SIM_NAMES];
	size_t past_count;
	size_t space;                    /* bytes that files may still grow by */
	bool no_allocate;                /* no such call on this file system */
	bool thin;                       /* writes inside reserved space also need `space` */
	int syncs_until_error;           /* -1: never; 0: the next one fails */
	int calls_until_error;           /* calls that change something; -1: never; 0: the next one fails with EIO, later ones do not */
	int calls_until_dead;            /* the same, but from then on everything fails: the machine has stopped */
	bool dead;
};

void disk_sim_init(struct disk_sim *d, uint64_t seed);
void disk_sim_fini(struct disk_sim *d);
void disk_sim_power_cut(struct disk_sim *d);                     /* descriptors are closed too */
void disk_sim_kill(struct disk_sim *d);                          /* the process ended, the machine did not: only descriptors are gone */
void disk_sim_wipe(struct disk_sim *d);                          /* no file is left */
bool disk_sim_flip(struct disk_sim *d, const char *path);        /* one bit of this file, on the medium; false: it is empty */
struct disk_sim_file *disk_sim_find(struct disk_sim *d, const char *path);    /* NULL: no such name */
