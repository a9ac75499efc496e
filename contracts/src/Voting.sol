// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketFront} from "./interfaces/IMarketFront.sol";
import {Messages} from "./libraries/Messages.sol";
import {Votes} from "./libraries/Votes.sol";
import {Rounds} from "./Rounds.sol";

/// @title Voting: commits, then reveals (P3.5)
abstract contract Voting is IMarketFront, Rounds {
    /// @inheritdoc IMarketFront
    function pin(bytes32 id) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Committing);
        _requireBefore(job.deadline); // later, the drawn could only be fined (P5.3)
        if (job.progress == Progress.Drawn) revert AlreadyDrawn(id, job.round);
        if (_pin(id, job)) return;
        if (job.progress == Progress.Reseeded) revert SeedGone(job.seedBlock);
        _reseed(id, job);
    }

    /// @inheritdoc IMarketFront
    function commit(bytes32 id, uint256 place, bytes32 hash) external {
        Job storage job = _toCommit(id);
        if (hash == 0) revert ZeroWord();
        uint32 seat = _requireSeated(job, place, msg.sender);
        uint32 bit = uint32(1) << uint8(place);
        uint32 committed = job.committed;
        if (committed & bit != 0) revert AlreadyCommitted(id, job.round, place);
        committed |= bit;
        job.committed = committed;
        job.word = Messages.chained(job.word, place, hash);
        emit Committed(id, seat, job.round, uint8(place), hash);
        if (committed == _drawnMask(job)) _enterRevealing(id, job);
    }

    /// @inheritdoc IMarketFront
    function reveal(
        bytes32 id,
        uint256 place,
        bytes32 vote,
        bytes32 evidence,
        bytes32 salt,
        bytes32 before,
        bytes32[] calldata later
    ) external {
        Job storage job = _toReveal(id);
        uint256 revealed = _requireSealed(id, job, place);
        bytes32 opened = Messages.commitment(id, job.round, _seatAt(job, place), vote, evidence, salt);
        bytes32 chain = Messages.chained(before, place, opened);
        for (uint256 i; i < later.length; ++i) {
            chain = Messages.chained(chain, later[i]);
        }
        if (chain != job.word) revert WrongReveal(job.word, chain);
        _open(id, job, place, vote, evidence);
        if (revealed | 1 << place == job.committed) _closeRevealing(id, job);
    }

    /// @dev A job in which a commit is welcome now. The first commit pins.
    function _toCommit(bytes32 id) internal returns (Job storage job) {
        job = _jobs[id];
        _requireState(id, job, State.Committing);
        _requireBefore(job.deadline);
        if (job.progress < Progress.Drawn && !_pin(id, job)) revert SeedGone(job.seedBlock);
    }

    /// @dev A job in which a reveal is welcome now. The commits' deadline needs no transaction of its own: whoever reveals
    /// first moves the job on.
    function _toReveal(bytes32 id) internal returns (Job storage job) {
        job = _jobs[id];
        if (job.state == State.Committing && _hasEnoughCommits(job)) _enterRevealing(id, job);
        _requireState(id, job, State.Revealing);
        _requireBefore(job.deadline);
    }

    function _open(bytes32 id, Job storage job, uint256 place, bytes32 vote, bytes32 evidence) internal {
        vote = Votes.checked(vote, job.lanes);
        _storeVote(job, place, vote);
        // a place is below 31
        emit Revealed(id, _seatAt(job, place), job.round, uint8(place), vote, evidence);
    }

    /// @dev Reverts unless `place` has committed and not revealed. Returns who has revealed so far.
    function _requireSealed(bytes32 id, Job storage job, uint256 place) private view returns (uint256 revealed) {
        if (place > type(uint8).max || job.committed >> place & 1 == 0) revert NotCommitted(id, job.round, place);
        revealed = _revealed(job);
        if (revealed >> place & 1 != 0) revert AlreadyRevealed(id, job.round, place);
    }
}
