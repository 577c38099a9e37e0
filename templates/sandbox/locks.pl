# Holds locks for the builder, on files and folders of the store. They end with it.
#
# Standard input, a line each: "shared FILE", "exclusive FILE", "create FILE", "release FILE". Each is
# answered by a line: "yes", or "no" if somebody else holds the file, or there is none. "create" is
# "exclusive", and makes an empty file where there is nothing. Nothing waits, not even for the other
# end of a pipe, and no link is followed.
use strict;
use warnings;
use Fcntl qw(:flock O_RDONLY O_NONBLOCK O_NOFOLLOW O_CREAT);

$| = 1;
my %held;
while (my $line = <STDIN>) {
    chomp $line;
    my ($word, $file) = split / /, $line, 2;
    my $answer = 'no';
    if ($word eq 'release') {
        delete $held{$file};
        $answer = 'yes';
    } elsif (!$held{$file}) {
        my $handle = take($file, $word eq 'create', $word eq 'shared' ? LOCK_SH : LOCK_EX);
        if ($handle) {
            $held{$file} = $handle;
            $answer = 'yes';
        }
    }
    print "$answer\n";
}

# The locked handle of a file; undefined: it cannot be had, or its name has come to mean another one.
sub take {
    my ($file, $make, $kind) = @_;
    my $flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | ($make ? O_CREAT : 0);
    sysopen(my $handle, $file, $flags, 0600) or return;
    my ($dev, $ino) = stat $handle;
    return unless (-f _ || -d _) && flock($handle, $kind | LOCK_NB);
    my @there = lstat $file;
    return unless @there && $there[0] == $dev && $there[1] == $ino;
    return $handle;
}
