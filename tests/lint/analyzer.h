/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Told to clang-tidy only: a function of net/base/err.h never returns 0 (it hands on the code of an error). Without that the
 * analyzer follows every `return err_set(...)` into a caller that goes on as if nothing had failed.
 */
#include "net/base/err.h"

#define LINT_NOT_0(call) ({ int lint_rc_ = (call); if (lint_rc_ == 0) __builtin_unreachable(); lint_rc_; })
#define err_set(...) LINT_NOT_0(err_set(__VA_ARGS__))
#define err_sys(...) LINT_NOT_0(err_sys(__VA_ARGS__))
#define err_wrap(...) LINT_NOT_0(err_wrap(__VA_ARGS__))
