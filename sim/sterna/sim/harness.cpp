// Runs a Verilated model and connects it to another process, byte by byte. The model is a component with the streams rx
// and tx, or, compiled with -DPINS, a board with its clock and the two wires of its UART.
//
//   sim --fd N        bytes over the open socket N; ends when its other end closes
//   sim --listen      bytes over TCP on this machine; prints its URL; one client after another
//   sim --pty         bytes over a pseudo-terminal; prints its path; opens like a serial port
//
// With --listen and --pty it ends when its standard input closes. At the end it prints one line of JSON: cycles run,
// bytes each way, seconds in all and seconds not slept.
//
//   --seed N --stalls P   holds back rx and tx at random, in P percent of the cycles
//   --bit-cycles N        of PINS: clock cycles that each bit lasts on the wires
//   --linger N            cycles to run on at full speed after the last byte; then it naps between slices
//   --waves FILE          writes a VCD file (models built for it only)
//   --coverage FILE       writes what ran and toggled, at the end (models built for it only)
//   +verilator+rand+reset+2 +verilator+seed+N   random words in registers and memories without a power-up value

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

namespace {

using Clock = std::chrono::steady_clock;

volatile sig_atomic_t stop_requested = 0;

constexpr int SLICE = 512;        // cycles between two looks at the connection: well under a millisecond
constexpr int NAP_SLICE = 4096;   // cycles between two naps
constexpr size_t BUFFER = 1 << 16;

[[noreturn]] void fail(const std::string& what) {
    fprintf(stderr, "%s: %s\n", what.c_str(), strerror(errno));
    exit(2);
}

uint64_t number(const char* text) {
    char* end = nullptr;
    errno = 0;
    const uint64_t value = strtoull(text, &end, 10);
    if (errno || end == text || *end) {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

struct Random {
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {}
    uint32_t percent() {  // 0…99
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<uint32_t>((state >> 32) % 100);
    }
};

// The other end: one connected descriptor, or none between two clients.
class Connection {
public:
    int fd = -1;
    int listener = -1;
    int slave = -1;  // keeps the pseudo-terminal alive between two clients
    bool watch_input = false;
    bool ended = false;

    void adopt(int descriptor) {
        fd = descriptor;
        nonblocking(fd);
    }

    void listen_tcp() {
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), length) || listen(listener, 1) ||
            getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length))
            fail("cannot listen");
        nonblocking(listener);
        watch_input = true;
        printf("socket://127.0.0.1:%d\n", ntohs(address.sin_port));
        fflush(stdout);
    }

    void open_pty() {
        fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || grantpt(fd) || unlockpt(fd)) fail("cannot open a pseudo-terminal");
        const char* path = ptsname(fd);
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        termios settings{};
        if (slave < 0 || tcgetattr(slave, &settings)) fail("cannot open the pseudo-terminal");
        cfmakeraw(&settings);
        if (tcsetattr(slave, TCSANOW, &settings)) fail("cannot set the pseudo-terminal");
        nonblocking(fd);
        watch_input = true;
        printf("%s\n", path);
        fflush(stdout);
    }

    // Waits up to `wait_ms` for something to do, then moves what can be moved without waiting.
    void exchange(std::vector<uint8_t>& input, std::vector<uint8_t>& output, int wait_ms) {
        pollfd polled[3];
        nfds_t count = 0;
        const bool room = input.size() < BUFFER;
        if (fd >= 0) {
            const short events = (room ? POLLIN : 0) | (output.empty() ? 0 : POLLOUT);
            polled[count++] = {fd, events, 0};
        } else if (listener >= 0) {
            polled[count++] = {listener, POLLIN, 0};
        }
        if (watch_input) polled[count++] = {STDIN_FILENO, POLLIN, 0};
        if (poll(polled, count, wait_ms) <= 0) return;
        if (watch_input && polled[count - 1].revents) {
            char ignored[256];
            if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) ended = true;
        }
        const short ready = polled[0].revents;
        if (fd < 0) {
            if (listener >= 0 && ready) accept_client(output);
            return;
        }
        if ((ready & (POLLIN | POLLHUP | POLLERR)) && room) receive(input);
        else if (ready & (POLLHUP | POLLERR)) lost();
        if (fd >= 0 && !output.empty()) send(output);
        if (fd < 0) output.clear();
    }

private:
    static void nonblocking(int descriptor) {
        const int flags = fcntl(descriptor, F_GETFL);
        if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)) fail("cannot use the connection");
    }

    void accept_client(std::vector<uint8_t>& output) {
        fd = accept(listener, nullptr, nullptr);
        if (fd < 0) return;
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        nonblocking(fd);
        output.clear();  // meant for the client before
    }

    void receive(std::vector<uint8_t>& input) {
        static uint8_t buffer[BUFFER];
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got > 0) {
            input.insert(input.end(), buffer, buffer + got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            lost();
        }
    }

    void send(std::vector<uint8_t>& output) {
        const ssize_t sent = write(fd, output.data(), output.size());
        if (sent > 0) {
            output.erase(output.begin(), output.begin() + sent);
        } else if (errno != EAGAIN && errno != EINTR) {
            lost();
        }
    }

    void lost() {
        if (slave >= 0) return;  // a pseudo-terminal waits for its next client
        close(fd);
        fd = -1;
        if (listener < 0) ended = true;
    }
};

// What passed between the model and the outside in one cycle.
struct Passed {
    bool taken = false;  // the byte that was put last
    bool came = false;
    uint8_t byte = 0;  // that came
};

#ifdef PINS

// A host's UART, 8N1. Wires have no flow control: bytes that come are taken, and none is told to wait.
class Ends {
public:
    static constexpr int RESET_CYCLES = 4096;  // what boards need for their own reset, and more
    uint32_t bit_cycles = 0;

    bool free() const { return !left; }

    void put(uint8_t byte) {
        frame = 1u << 9 | byte << 1;  // stop bit, byte, start bit
        left = 10;
        timer = bit_cycles;
    }

    void reset(Vtop& top, bool) { top.rx = 1; }

    void drive(Vtop& top, bool) { top.rx = left ? frame & 1 : 1; }

    Passed look(Vtop& top) {
        Passed passed;
        if (left && --timer == 0) {
            frame >>= 1;
            timer = bit_cycles;
            passed.taken = --left == 0;
        }
        if (!waiting) {
            if (!top.tx) waiting = 10, sample = bit_cycles / 2 + 1;  // the first in the middle of the start bit
            else return passed;
        }
        if (--sample == 0) {
            sample = bit_cycles;
            bits = bits >> 1 | top.tx << 9;
            if (--waiting == 0) {
                passed.came = (bits & 1) == 0 && bits >> 9;
                passed.byte = static_cast<uint8_t>(bits >> 1);
            }
        }
        return passed;
    }

private:
    uint32_t frame = 0, left = 0, timer = 0;
    uint32_t bits = 0, waiting = 0, sample = 0;
};

#else

// Byte streams: a byte once offered stays offered until it is taken.
class Ends {
public:
    static constexpr int RESET_CYCLES = 8;

    bool free() const { return !offered; }

    void put(uint8_t byte) {
        offered = true;
        payload = byte;
    }

    void reset(Vtop& top, bool held) {
        top.rx___05Fvalid = 0;
        top.tx___05Fready = 0;
        top.rst = held;
    }

    void drive(Vtop& top, bool room) {
        top.rx___05Fpayload = payload;
        top.rx___05Fvalid = offered;
        top.tx___05Fready = room;
    }

    Passed look(Vtop& top) {
        Passed passed;
        if (offered && top.rx___05Fready) passed.taken = true, offered = false;
        if (top.tx___05Fready && top.tx___05Fvalid) passed.came = true, passed.byte = top.tx___05Fpayload;
        return passed;
    }

private:
    bool offered = false;
    uint8_t payload = 0;
};

#endif

class Simulation {
public:
    std::vector<uint8_t> input, output;
    uint64_t cycles = 0, quiet = 0, received = 0, sent = 0;
    Ends ends;
    uint32_t stalls = 0;
    Random random{1};

    Simulation(int argc, char** argv) {
        context.commandArgs(argc, argv);
        top = std::make_unique<Vtop>(&context);
    }

    void waves(const char* path) {
#if VM_TRACE
        context.traceEverOn(true);
        trace = std::make_unique<VerilatedVcdC>();
        top->trace(trace.get(), 99);
        trace->open(path);
#else
        (void)path;
        fprintf(stderr, "this model was built without waves\n");
        exit(2);
#endif
    }

    void coverage(const char* path) {
#if VM_COVERAGE
        coverage_path = path;
#else
        (void)path;
        fprintf(stderr, "this model was built without coverage\n");
        exit(2);
#endif
    }

    void reset() {
        ends.reset(*top, true);
        for (int i = 0; i < Ends::RESET_CYCLES; ++i) edge();
        ends.reset(*top, false);
        edge();  // for a reset that is held in a register
    }

    void run(int count) {
        size_t taken = 0;
        for (int i = 0; i < count; ++i) {
            if (ends.free() && taken < input.size() && !held_back()) ends.put(input[taken]);
            ends.drive(*top, output.size() < BUFFER && !held_back());
            top->clk = 0;
            top->eval();
            const Passed passed = ends.look(*top);
            quiet = passed.taken || passed.came ? 0 : quiet + 1;
            taken += passed.taken;
            if (passed.came) {
                output.push_back(passed.byte);
                ++sent;
            }
            dump();
            top->clk = 1;
            top->eval();
            dump();
            ++cycles;
        }
        input.erase(input.begin(), input.begin() + taken);
        received += taken;
    }

    void finish() {
        top->final();
#if VM_TRACE
        if (trace) trace->close();
#endif
#if VM_COVERAGE
        if (!coverage_path.empty()) context.coveragep()->write(coverage_path.c_str());
#endif
    }

private:
    VerilatedContext context;
    std::unique_ptr<Vtop> top;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
#endif
    std::string coverage_path;

    bool held_back() { return stalls != 0 && random.percent() < stalls; }

    void edge() {
        top->clk = 0;
        top->eval();
        dump();
        top->clk = 1;
        top->eval();
        dump();
    }

    void dump() {
#if VM_TRACE
        if (trace) trace->dump(context.time());
        context.timeInc(1);
#endif
    }
};

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    const auto stop = [](int) { stop_requested = 1; };
    signal(SIGTERM, stop);
    signal(SIGINT, stop);

    Simulation simulation(argc, argv);
    Connection connection;
    uint64_t linger = 1'000'000;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        const auto value = [&]() -> const char* {
            if (i + 1 == argc) {
                fprintf(stderr, "%s needs a value\n", option.c_str());
                exit(2);
            }
            return argv[++i];
        };
        if (option == "--fd") connection.adopt(static_cast<int>(number(value())));
        else if (option == "--listen") connection.listen_tcp();
        else if (option == "--pty") connection.open_pty();
        else if (option == "--linger") linger = number(value());
#ifdef PINS
        else if (option == "--bit-cycles") simulation.ends.bit_cycles = static_cast<uint32_t>(number(value()));
#endif
        else if (option == "--stalls") simulation.stalls = static_cast<uint32_t>(number(value()));
        else if (option == "--seed") simulation.random = Random(number(value()));
        else if (option == "--waves") simulation.waves(value());
        else if (option == "--coverage") simulation.coverage(value());
        else if (option[0] != '+') {
            fprintf(stderr, "unknown option %s\n", option.c_str());
            return 2;
        }
    }
    if (connection.fd < 0 && connection.listener < 0) {
        fprintf(stderr, "one of --fd, --listen, --pty is needed\n");
        return 2;
    }

#ifdef PINS
    if (simulation.ends.bit_cycles < 2) {
        fprintf(stderr, "--bit-cycles is needed, at least 2\n");
        return 2;
    }
#endif

    const auto start = Clock::now();
    Clock::duration slept{};
    simulation.reset();
    while (!connection.ended && !stop_requested) {
        // The core may compute long without a byte, so it never stops: the longer the silence, the longer the naps.
        const bool busy = !simulation.input.empty() || simulation.quiet < linger;
        const bool blocked = simulation.output.size() >= BUFFER;
        int nap = 0;
        if (blocked) nap = 10;
        else if (!busy) nap = static_cast<int>(std::min<uint64_t>(50, simulation.quiet / std::max<uint64_t>(linger, 1)));
        const auto before = Clock::now();
        connection.exchange(simulation.input, simulation.output, nap);
        if (nap) slept += Clock::now() - before;
        simulation.run(nap ? NAP_SLICE : SLICE);
    }
    simulation.finish();
    const auto all = Clock::now() - start;
    printf("{\"cycles\": %llu, \"received\": %llu, \"sent\": %llu, \"seconds\": %.6f, \"busy_seconds\": %.6f}\n",
           static_cast<unsigned long long>(simulation.cycles), static_cast<unsigned long long>(simulation.received),
           static_cast<unsigned long long>(simulation.sent), seconds(all), seconds(all - slept));
    return 0;
}
