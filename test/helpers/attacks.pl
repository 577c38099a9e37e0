#!/usr/bin/perl
# Tries all that a process of a build must not be able to do, and prints a line for each: "attack KIND: WHAT: yes|no".
# A test puts its own words in the place of those in @@; `then`: what is run afterwards, with the arguments in the place of @.
use strict;
use Socket;

my ($kind, $canary, $secret, $port, $abstract, $pid, $then) =
    ('@@kind@@', '@@canary@@', '@@secret@@', '@@port@@', '@@abstract@@', '@@pid@@', '@@then@@');
# What others say on standard output, the one in whose place this stands may not.
select STDERR;
my ($machine) = `uname -m` =~ /(\S+)/;
my %number = $machine eq 'x86_64'
    ? (mount => 165, bpf => 321, perf => 298, add_key => 248, keyctl => 250, to_handle => 303, by_handle => 304, ptrace => 101)
    : (mount => 40, bpf => 280, perf => 241, add_key => 217, keyctl => 219, to_handle => 264, by_handle => 265, ptrace => 117);
my $below = '/tmp';
for my $folder ('/run/realmfs/output', '/run/realmfs/staging', '/tmp') {
    next unless mkdir "$folder/attack-$$";
    $below = "$folder/attack-$$";
    last;
}

# Whether a call has come to the part of the kernel that it asks for: it fails there, for want of good arguments.
sub reached {
    my $number = shift;
    $! = 0;
    my $result = syscall($number, @_);
    return $result != -1 || ($! != 38 && $! != 1);
}

sub quiet { return system("$_[0] >/dev/null 2>&1") == 0 }

sub connects {
    my ($family, $type, $address) = @_;
    socket(my $socket, $family, $type, 0) or return 0;
    local $SIG{ALRM} = sub { die };
    return eval { alarm 5; my $is = connect($socket, $address); alarm 0; $is };
}

# Whether the kernel has been asked for a socket: EPERM, too, is the answer of its own.
sub makes { return socket(my $socket, $_[0], $_[1], $_[2]) || ($! != 97 && $! != 93) }

sub mounts {
    my ($type) = @_;
    for my $way ('', 'unshare --user --map-root-user --mount --pid --fork ', 'unshare --user --mount --net --pid --fork ') {
        # What is mounted is used, too: a sysctl is opened, and nothing written.
        my $use = $type eq 'proc' ? " && : >>$below/sys/kernel/core_pattern" : '';
        return 1 if quiet("$way sh -c 'mount -t $type realmfs-attack $below$use'");
    }
    return 0;
}

sub by_new_calls {
    my ($type, $empty) = ('tmpfs', '');
    my $context = syscall(430, $type, 0);
    return 0 if $context < 0;
    return syscall(431, $context, 6, 0, 0, 0) != -1 && syscall(432, $context, 0, 0) != -1;
}

sub opens_by_handle {
    my ($name, $handle, $id) = ('/dev/null', pack('L l x128', 128, 0), pack('l', 0));
    syscall($number{to_handle}, -100, $name, $handle, $id, 0) != -1 or die "name_to_handle_at: $!\n";
    opendir(my $folder, '/dev') or die "/dev: $!\n";
    return syscall($number{by_handle}, fileno($folder), $handle, 0) != -1;
}

sub keeps_key {
    my ($type, $description, $payload) = ('user', "realmfs-attack-$kind", 'x');
    my $key = syscall($number{add_key}, $type, $description, $payload, 1, -4);
    syscall($number{keyctl}, 9, $key, -4) if $key != -1;
    return $key != -1 || reached($number{keyctl}, 0, -4, 0);
}

sub writes_sysctl {
    my $file = '/proc/sys/fs/lease-break-time';
    open(my $now, '<', $file) or return 0;
    my $value = <$now>;
    quiet('mount -o remount,bind,rw /proc/sys');
    for my $path ($file, '/proc/1/root' . $file) {
        open(my $handle, '>', $path) or next;
        return 1 if syswrite($handle, $value);
    }
    return 0;
}

my $bytes = "\0" x 128;
my @attacks = (
    'write host files' => sub {
        # With the right to mount it is not read-only for long.
        quiet('mount -o remount,bind,rw /');
        open(my $file, '>>', $canary) or return 0;
        return syswrite($file, "$kind\n");
    },
    "read root's host files" => sub { open(my $file, '<', $secret) or return 0; return <$file> =~ /secret/ },
    'sysctl' => \&writes_sysctl,
    'a whole proc or sysfs' => sub { return mounts('proc') || mounts('sysfs') },
    'mount' => sub { return mounts('tmpfs') || by_new_calls() },
    'open by handle' => \&opens_by_handle,
    'keys' => \&keeps_key,
    'io_uring, bpf, perf' => sub { return reached(425, 8, $bytes) || reached($number{bpf}, 0, $bytes, 64) || reached($number{perf}, $bytes, 0, -1, -1, 0) },
    'host loopback' => sub { return connects(PF_INET, SOCK_STREAM, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) },
    # Of the length of the name, or as long as a name can be.
    'abstract sockets' => sub { return grep { connects(PF_UNIX, SOCK_STREAM, pack("S $_", AF_UNIX, "\0$abstract")) } 'a*', 'a108' },
    'network' => sub { return connects(PF_INET, SOCK_DGRAM, pack_sockaddr_in(9, inet_aton('198.51.100.1'))) },
    'signal host processes' => sub { return kill(0, $pid) },
    'trace PID 1' => sub { return defined(readlink '/proc/1/root') || open(my $file, '<', '/proc/1/environ') || syscall($number{ptrace}, 16, 1, 0, 0) != -1 },
    'device nodes' => sub { return quiet("mknod $below/node b 7 200") && -b "$below/node" },
    # Made, or held back by something that knows the family: both are the kernel's.
    'sockets beyond the network namespace' => sub { return grep { makes(@$_) } [40, SOCK_STREAM, 0], [40, SOCK_DGRAM, 0], [40, 5, 0], [38, 5, 0], [42, SOCK_DGRAM, 0], [44, SOCK_RAW, 0] },
    "the machine's audit log" => sub { return makes(16, SOCK_RAW, 9) },
    'terminal' => sub { return open(my $file, '+<', '/dev/tty') },
);
while (my ($what, $attack) = splice(@attacks, 0, 2)) {
    printf "attack %s: %s: %s\n", $kind, $what, $attack->() ? 'yes' : 'no';
}
unlink "$below/node";
rmdir $below if $below ne '/tmp';
$then eq '' ? exit 0 : $then eq 'fail' ? exit 1 : exec(map { $_ eq '@' ? @ARGV : $_ } split(/ /, $then));
