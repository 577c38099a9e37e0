# The system calls of a sandbox: their numbers, and the filter of seccomp(2) that denies those of the kernel's
# surface that no command of a build needs. Loaded by walls.pl;
# the numbers by xattrs.pl, too.
#
# The numbers are those of the kernel's unistd.h, architecture by architecture; calls that are newer than Linux 5.1
# have one number on all of them. The filter is a classic BPF program (linux/filter.h, linux/seccomp.h).
#
# Without modules but strict: each costs a step a millisecond. The lint has perl warn.
use strict;

# The numbers, behind the token of linux/audit.h.
my @names = qw(mount umount2 pivot_root unshare clone keyctl add_key request_key bpf perf_event_open userfaultfd
    open_by_handle_at prctl capget capset seccomp socket socketpair personality prlimit64 lgetxattr
    llistxattr);
my %architectures = (
    x86_64 => [0xc000003e, 165, 166, 155, 272, 56, 250, 248, 249, 321, 298, 323, 304, 157, 125, 126, 317, 41, 53, 135, 302, 192, 195],
    i386 => [0x40000003, 21, 52, 217, 310, 120, 288, 286, 287, 357, 336, 374, 342, 172, 184, 185, 354, 359, 360, 136, 340, 230, 233],
    aarch64 => [0xc00000b7, 40, 39, 41, 97, 220, 219, 217, 218, 280, 241, 282, 265, 167, 90, 91, 277, 198, 199, 92, 261, 9, 12],
    riscv64 => [0xc00000f3, 40, 39, 41, 97, 220, 219, 217, 218, 280, 241, 282, 265, 167, 90, 91, 277, 198, 199, 92, 261, 9, 12],
    loongarch64 => [0xc0000102, 40, 39, 41, 97, 220, 219, 217, 218, 280, 241, 282, 265, 167, 90, 91, 277, 198, 199, 92, 261, 9, 12],
    arm => [0x40000028, 21, 52, 218, 337, 120, 311, 309, 310, 386, 364, 388, 371, 172, 184, 185, 383, 281, 288, 136, 369, 230, 233],
    powerpc64le => [0xc0000015, 21, 52, 203, 282, 120, 271, 269, 270, 361, 319, 364, 346, 171, 183, 184, 358, 326, 333, 136, 325, 213, 216],
    s390x => [0x80000016, 21, 52, 217, 303, 120, 280, 278, 279, 351, 331, 355, 336, 172, 184, 185, 348, 359, 360, 136, 334, 228, 231],
);
# Those whose programs run on the kernel of another one.
my %beside = (x86_64 => 'i386', aarch64 => 'arm');
# The one call for all of sockets, whose arguments lie in memory, which a filter does not see. Programs of i386 and s390x
# know no other way.
my %socketcall = (i386 => 102, powerpc64le => 102, s390x => 102);
# umount(2) without flags, where there is one.
my %old_umount = (i386 => 22, powerpc64le => 22, s390x => 22);

my %newer = (io_uring_setup => 425, io_uring_enter => 426, io_uring_register => 427, open_tree => 428, move_mount => 429,
    fsopen => 430, fsconfig => 431, fsmount => 432, fspick => 433, clone3 => 435, mount_setattr => 442, open_tree_attr => 467);

# The machines of elf.h, with the class and the byte order of a program.
my %machines = ('62 2 1' => 'x86_64', '3 1 1' => 'i386', '183 2 1' => 'aarch64', '40 1 1' => 'arm', '243 2 1' => 'riscv64',
    '258 2 1' => 'loongarch64', '21 2 1' => 'powerpc64le', '22 2 2' => 's390x');

# machine(): the architecture of this perl: its calls go to the kernel.
sub machine {
    open(my $program, '<:raw', '/proc/self/exe') or die "/proc/self/exe: $!\n";
    read($program, my $start, 20) == 20 or die "/proc/self/exe is cut short\n";
    my ($class, $order, $machine) = unpack('x4 C C x12 S', $start);
    return $machines{"$machine $class $order"} // die "no system calls are known for ELF machine $machine\n";
}

# numbers(MACHINE): its calls by name.
sub numbers {
    my ($machine) = @_;
    my %numbers = %newer;
    @numbers{@names} = @{$architectures{$machine}}[1 .. @names];
    $numbers{umount} = $old_umount{$machine} if $old_umount{$machine};
    $numbers{socketcall} = $socketcall{$machine} if $socketcall{$machine};
    return %numbers;
}

# Denied as they are where the kernel has none of them: programs know what to do then.
my @absent = qw(keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register);
# Denied as they are to whoever may not: the kernel says the same to a process without the capability.
my @refused = qw(open_by_handle_at);
my @mounting = qw(mount umount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr);

# The families of sockets (socket.h) that a network namespace holds back, and the protocols of netlink (netlink.h) that do
# not speak for the whole machine: route, sock_diag, xfrm, netfilter, kobject_uevent, generic. All else is as in a kernel
# without it: vsock and qipcrtr lead out of every namespace, and audit into the log of the machine.
sub UNIX() { 1 }
sub INET() { 2 }
sub INET6() { 10 }
sub NETLINK() { 16 }
my @netlink = (0, 4, 6, 12, 15, 16);

sub EPERM() { 1 }
sub NOT_SUPPORTED() { 93 }
sub NO_SUCH_FAMILY() { 97 }
sub ENOSYS() { 38 }
sub NEW_USER() { 0x10000000 }
sub X32() { 0x40000000 }
sub LOAD() { 0x20 }
sub AND() { 0x54 }
sub IF_EQUAL() { 0x15 }
sub IF_AT_LEAST() { 0x35 }
sub RETURN() { 0x06 }
sub ALLOW() { 0x7fff0000 }
sub FAIL() { 0x00050000 }

# operation(CODE, VALUE, IF, ELSE): one of a BPF program; the last two are how many to skip.
sub operation {
    my ($code, $value, $if, $else) = @_;
    return pack('S C C L', $code, $if // 0, $else // 0, $value);
}

# argument(MACHINE, NUMBER): where the lower half of an argument lies.
sub argument {
    my ($machine, $number) = @_;
    return 16 + 8 * $number + ($machine eq 's390x' ? 4 : 0);
}

# sockets(MACHINE): what is decided by family and protocol, once it is known that a call makes a socket.
sub sockets {
    my ($machine) = @_;
    my $protocols = operation(LOAD, argument($machine, 2));
    $protocols .= operation(IF_EQUAL, $_, 0, 1) . operation(RETURN, ALLOW) for @netlink;
    $protocols .= operation(RETURN, FAIL | NOT_SUPPORTED);
    my $families = operation(LOAD, argument($machine, 0));
    $families .= operation(IF_EQUAL, $_, 0, 1) . operation(RETURN, ALLOW) for UNIX, INET, INET6;
    return $families . operation(IF_EQUAL, NETLINK, 0, length($protocols) / 8) . $protocols . operation(RETURN, FAIL | NO_SUCH_FAMILY);
}

# block(MACHINE, MAY_MOUNT, HAS_SOCKETCALL): what is decided by the number of a call, which has been loaded.
sub block {
    my ($machine, $may_mount, $has_socketcall) = @_;
    my %numbers = numbers($machine);
    my %errors = map { $_ => ENOSYS } @absent;
    $errors{$_} = EPERM for @refused, $may_mount ? () : @mounting;
    # Its flags lie in memory, which a filter does not see.
    $errors{clone3} = ENOSYS;
    $errors{socketcall} = ENOSYS unless $has_socketcall;
    my $program = $machine eq 'x86_64' ? operation(IF_AT_LEAST, X32, 0, 1) . operation(RETURN, FAIL | ENOSYS) : '';
    for my $name (sort keys %errors) {
        next unless defined $numbers{$name};
        $program .= operation(IF_EQUAL, $numbers{$name}, 0, 1) . operation(RETURN, FAIL | $errors{$name});
    }
    for my $name (qw(clone unshare)) {
        # s390 has the flags of clone(2) in the second one.
        my $at = argument($machine, $machine eq 's390x' && $name eq 'clone' ? 1 : 0);
        $program .= operation(IF_EQUAL, $numbers{$name}, 0, 5) . operation(LOAD, $at) . operation(AND, NEW_USER)
            . operation(IF_EQUAL, 0, 1, 0) . operation(RETURN, FAIL | EPERM) . operation(RETURN, ALLOW);
    }
    my $sockets = sockets($machine);
    my $length = length($sockets) / 8;
    $program .= operation(IF_EQUAL, $numbers{socket}, 1, 0) . operation(IF_EQUAL, $numbers{socketpair}, 0, $length) . $sockets;
    return $program . operation(RETURN, ALLOW);
}

# filter(MAY_MOUNT, RUNS_I386): the program for this machine, and whether the programs of i386 that run on it are those of the
# build. Calls of an architecture that it does not know are not there.
sub filter {
    my ($may_mount, $runs_i386) = @_;
    my $machine = machine();
    my $program = operation(LOAD, 4);
    for my $one (grep { defined } $machine, $beside{$machine}) {
        my $block = operation(LOAD, 0) . block($one, $may_mount, $one eq 's390x' || $one eq 'i386' && ($one eq $machine || $runs_i386));
        my $length = length($block) / 8;
        # The distance of a condition is one byte.
        $length < 256 or die "the filter is too long\n";
        $program .= operation(IF_EQUAL, $architectures{$one}[0], 0, $length) . $block;
    }
    return $program . operation(RETURN, FAIL | ENOSYS);
}

1;
