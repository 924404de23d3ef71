// SPDX-License-Identifier: MIT
// The boards' prompt for the unix port: the REPL of shared/runtime/pyexec.c on stdin and stdout.
//
// The terminal, when there is one, is raw. While Python runs, the terminal itself turns the interrupt
// character into SIGINT, which raises KeyboardInterrupt; at the prompt and after kbd_intr(-1) that
// byte is data. A reset, soft or hard, starts the program anew in the same process.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/readline/readline.h"
#include "shared/runtime/pyexec.h"

#define MODE_VARIABLE "FIELDTUNE_PROMPT"
#define NO_CHARACTER ((char)-1)
// The exit status that asks whoever started the program to start it again.
#define RESTART_STATUS (75)

static bool serving;

static void interrupt(int signum) {
    (void)signum;
    mp_sched_keyboard_interrupt();
}

static void terminal_raw(char interrupt_char) {
    struct termios terminal;
    if (tcgetattr(STDIN_FILENO, &terminal) != 0) {
        return;
    }
    cfmakeraw(&terminal);
    if (interrupt_char != NO_CHARACTER) {
        terminal.c_lflag |= ISIG | NOFLSH;
        terminal.c_cc[VINTR] = interrupt_char;
        terminal.c_cc[VQUIT] = _POSIX_VDISABLE;
        terminal.c_cc[VSUSP] = _POSIX_VDISABLE;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
}

// The linker puts the __wrap functions in the place of the port's own (see mpconfigvariant.mk).

void __real_mp_hal_set_interrupt_char(char c);

void __wrap_mp_hal_set_interrupt_char(char c) {
    if (!serving) {
        __real_mp_hal_set_interrupt_char(c);
        return;
    }
    struct sigaction action = { .sa_handler = c == NO_CHARACTER ? SIG_IGN : interrupt };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    terminal_raw(c);
}

int __real_mp_hal_stdin_rx_chr(void);

int __wrap_mp_hal_stdin_rx_chr(void) {
    if (!serving) {
        return __real_mp_hal_stdin_rx_chr();
    }
    unsigned char c;
    ssize_t count;
    MP_HAL_RETRY_SYSCALL(count, read(STDIN_FILENO, &c, 1), { exit(0); });
    if (count == 0) {
        exit(0);
    }
    return c;
}

static void write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t count = write(STDOUT_FILENO, text, length);
        if (count >= 0) {
            text += count;
            length -= count;
        } else if (errno != EINTR) {
            return;
        }
    }
}

mp_uint_t __wrap_mp_hal_stdout_tx_strn(const char *text, size_t length) {
    write_all(text, length);
    return length;
}

void __wrap_mp_hal_stdout_tx_strn_cooked(const char *text, size_t length) {
    const char *newline;
    while (serving && (newline = memchr(text, '\n', length)) != NULL) {
        write_all(text, newline - text);
        write_all("\r\n", 2);
        length -= newline + 1 - text;
        text = newline + 1;
    }
    write_all(text, length);
}

static void start_again(const char *mode) {
    static char command[4096];
    char *argv[64];
    int argc = 0;

    setenv(MODE_VARIABLE, mode, 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, command, sizeof(command) - 1);
    for (char *p = command; p < command + length && argc < 63; p += strlen(p) + 1) {
        argv[argc++] = p;
    }
    argv[argc] = NULL;
    if (argc > 0) {
        // Files that Python left open must not pile up.
        for (int open_fd = 3; open_fd < 256; open_fd++) {
            close(open_fd);
        }
        execv("/proc/self/exe", argv);
    }
    exit(RESTART_STATUS);
}

// machine.reset()
NORETURN void prompt_reset(void) {
    start_again("friendly");
    exit(RESTART_STATUS);
}

static void soft_reset(void) {
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    if (poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR))) {
        exit(0);
    }
    mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
    start_again(pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? "raw" : "friendly");
}

static mp_obj_t prompt_serve(void) {
    serving = true;
    // Succeeds for the leader of a session that has no terminal yet; otherwise nothing is to be done.
    ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    mp_hal_set_interrupt_char(-1);
    readline_init0();

    const char *mode = getenv(MODE_VARIABLE);
    pyexec_mode_kind = mode != NULL && strcmp(mode, "raw") == 0 ? PYEXEC_MODE_RAW_REPL : PYEXEC_MODE_FRIENDLY_REPL;

    // As on a board: boot.py always, main.py unless a program talks to the prompt.
    int result = pyexec_file_if_exists("boot.py");
    if (!(result & PYEXEC_FORCED_EXIT) && result != 0 && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        result = pyexec_file_if_exists("main.py");
    }
    while (!(result & PYEXEC_FORCED_EXIT)) {
        result = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
    soft_reset();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(prompt_serve_obj, prompt_serve);

static const mp_rom_map_elem_t prompt_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__prompt) },
    { MP_ROM_QSTR(MP_QSTR_serve), MP_ROM_PTR(&prompt_serve_obj) },
};
static MP_DEFINE_CONST_DICT(prompt_globals, prompt_globals_table);

const mp_obj_module_t prompt_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&prompt_globals,
};
MP_REGISTER_MODULE(MP_QSTR__prompt, prompt_module);
